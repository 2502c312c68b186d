package worker

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/tasks"
)

// The value of a panic may quote the input.
func TestAPanicIsRetriedAndItsValueIsNotLogged(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		p.CheckMask = func(context.Context, []byte, maskcheck.SourceInfo) (maskcheck.Report, error) {
			panic("quoted: SPECIMEN PERSON")
		}
		var log bytes.Buffer
		s := NewServer(ServerConfig{Processor: p, Log: zerolog.New(&log)})
		if v := s.process(t.Context(), w.payload(tasks.Aadhaar, "A")); v.Decision != Later || v.Reason != "panic" {
			t.Errorf("%+v", v)
		}
		if text := log.String(); !strings.Contains(text, "mask.go") || !strings.Contains(text, `"job":"A"`) || strings.Contains(text, "SPECIMEN") {
			t.Errorf("logged %s", text)
		}
	})
}
