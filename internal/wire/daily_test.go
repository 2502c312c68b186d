package wire

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/storage/storagetest"
	"github.com/kycq/kycq/worker"
)

func TestTheDailyWorkIsDoneOnceADayAndAgainAfterAFailure(t *testing.T) {
	t.Parallel()
	client := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	t.Cleanup(func() { _ = client.Close() })
	var log bytes.Buffer
	server := storagetest.StartFake(t)
	w := &Worker{redis: client, store: server.Store(t), retention: &worker.Retention{}, log: zerolog.New(&log)}
	server.Use(func(a http.ResponseWriter, _ *http.Request, _ http.Handler) { a.WriteHeader(http.StatusForbidden) })
	w.doDaily(t.Context())
	server.Use(nil)
	w.doDaily(t.Context())
	w.doDaily(t.Context())
	if got := log.String(); strings.Count(got, "incomplete") != 1 || strings.Count(got, "daily work ended") != 1 {
		t.Error(got)
	}
	if open, err := w.isOpen(t.Context(), "people-00000000"); open || err != nil {
		t.Errorf("the images of a batch that does not exist: open %v, %v", open, err)
	}
}

func TestTheStartIsLoggedWithoutTheAccountsID(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	w := &Worker{log: zerolog.New(&log)}
	w.LogStart(&config.Config{CashfreeURL: "https://api.cashfree.com/verification", CashfreeClientID: "CF-SPECIMEN-1234"})
	if got := log.String(); !strings.Contains(got, `"environment":"live","account":"...1234"`) || strings.Contains(got, "SPECIMEN") {
		t.Error(got)
	}
}
