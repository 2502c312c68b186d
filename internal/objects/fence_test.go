package objects_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/storage/storagetest"
)

func TestAStoreRefusesARequestThatWasFencedTooLongAgo(t *testing.T) {
	t.Parallel()
	images := storagetest.StartMinIO(t).Store(t).Buckets().Masked.Within("masked/", "masked image")
	for name, c := range map[string]struct {
		ago  time.Duration
		late bool
	}{"recent": {10 * time.Minute, false}, "old": {16 * time.Minute, true}} {
		err := images.Put(objects.Fence(t.Context(), time.Now().Add(-c.ago)), "masked/"+name, []byte("x"), "image/png")
		if (err != nil) != c.late {
			t.Errorf("%s: %v", name, err)
		}
		_, err = images.Get(t.Context(), "masked/"+name)
		if errors.Is(err, objects.ErrNotFound) != c.late {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// After a machine was suspended, its clock may be late until it is set.
func TestARetryOfAFencedRequestHasTheSameDate(t *testing.T) {
	t.Parallel()
	server := storagetest.StartFake(t)
	images := server.Store(t).Buckets().Masked.Within("masked/", "masked image")
	var dates []string
	server.Use(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		dates = append(dates, r.Header.Get("X-Amz-Date"))
		w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`<Error><Code>RequestTimeTooSkewed</Code><Message>m</Message></Error>`))
	})
	if err := images.Put(objects.Fence(t.Context(), time.Now()), "masked/a", []byte("x"), "image/png"); err == nil {
		t.Error("not refused")
	}
	if len(dates) < 2 || len(slices.Compact(dates)) != 1 {
		t.Errorf("dates %v", dates)
	}
}
