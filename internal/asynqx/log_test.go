package asynqx_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/asynqx"
)

func TestARepeatedErrorIsLoggedOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		log := asynqx.NewLogger(zerolog.New(&out).Level(zerolog.InfoLevel))
		for port := range 120 { // two minutes
			log.Error("dial tcp 127.0.0.1:", 40000+port, ": connection refused")
			log.Error("cannot subscribe to cancelation channel: NOPERM No permissions to access a channel")
			time.Sleep(time.Second)
		}
		if refused, denied := strings.Count(out.String(), "refused"), strings.Count(out.String(), "NOPERM"); refused != 2 || denied != 0 {
			t.Errorf("%d lines of a server that is down, %d of a missing permission", refused, denied)
		}
	})
}
