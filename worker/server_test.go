package worker

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/tasks"
)

// A payload that is not authentic is used for nothing. Its task ends, so the leader enqueues the job from S3; one that another
// worker can open waits.
func TestATaskWhosePayloadDoesNotOpenIsNotProcessed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"forged":       {tasks.ErrPayloadForged, "foreign_task: " + asynq.SkipRetry.Error()},
		"version 1":    {tasks.ErrPayloadUnsealed, ""},
		"newer":        {tasks.ErrPayloadVersion, "later: payload_version"},
		"other key":    {seal.ErrKeyMissing, "later: key_missing"},
		"not sealing":  {tasks.ErrSealed, "later: key_missing"},
		"ledger fails": {errInjected, "later: storage_unreachable"},
	} {
		var log bytes.Buffer
		s := NewServer(ServerConfig{Log: zerolog.New(&log), OpenPayload: func(context.Context, string, string, []byte) (tasks.JobSpec, error) {
			return tasks.JobSpec{}, fmt.Errorf("open: %w", c.err)
		}})
		for range 2 {
			got := ""
			if err := s.handle(t.Context(), asynq.NewTask("kyc:passport", nil)); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("%s: %q, want %q", name, got, c.want)
			}
		}
		if n := strings.Count(log.String(), "\n"); n > 1 {
			t.Errorf("%s: %d lines in the log", name, n)
		}
	}
}

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
