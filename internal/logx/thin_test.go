package logx_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/logx"
)

func TestRepeatedFaultsAreOneLineAMinuteWithTheirNumber(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := zerolog.New(&out).Hook(logx.Thin())
		for i := range 121 { // two minutes and the moment after
			faults := log.With().Int("job", i).Logger()
			faults.Warn().Msg(fmt.Sprintf("port %d: refused", i))
			faults.Info().Msg("fine")
			time.Sleep(time.Second)
		}
		if n := strings.Count(out.String(), "refused"); n != 3 {
			t.Errorf("%d lines, want 3", n)
		}
		if n := strings.Count(out.String(), `"left_out":59`); n != 2 {
			t.Errorf("%d lines with the number of those left out, want 2:\n%s", n, out.String())
		}
		if n := strings.Count(out.String(), "fine"); n != 121 {
			t.Errorf("%d of 121 other lines", n)
		}
	})
}

func TestTheConsoleShowsWhatIdentifiesAJobFirst(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := logx.New(&out, "console", "info")
	if err != nil {
		t.Fatal(err)
	}
	log.Info().Int("attempts", 2).Str("outcome", "valid").Int("line", 17).Str("batch", "b").Str("job", "A1").Str("kind", "aadhaar").Msg("job")
	if got := out.String(); !strings.HasSuffix(got, "INF job kind=aadhaar job=A1 batch=b line=17 outcome=valid attempts=2\n") {
		t.Errorf("got %q", got)
	}
}
