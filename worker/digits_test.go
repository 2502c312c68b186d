package worker

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/kycq/kycq/internal/digits"
	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func TestTheDigitsOfWhatIsStoredAreChecked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		found          bool
		err            error
		review, record string // of the job
	}{
		"no number":         {false, nil, "", storage.DigitCheckDone},
		"a readable number": {true, nil, ReadableNumber, storage.DigitCheckDone},
		"it cannot be read": {false, fmt.Errorf("x: %w", digits.ErrUnread), DigitsUnread, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
				p.HasNumber = func(_ context.Context, file []byte) (bool, error) {
					if string(file) != "pixels" {
						t.Errorf("it reads %q, not what would be stored", file)
					}
					return c.found, c.err
				}
				p.Process(t.Context(), w.payload(tasks.Aadhaar, "A"))
				state, code := storage.StateValid, ""
				if c.review != "" {
					state, code = storage.StateFailed, unsafeMask
				}
				rec := wantState(t, w, tasks.Aadhaar, "A", state, code)
				if rec.Review != c.review || rec.DigitCheck != c.record || len(w.s3.masked)+len(w.s3.quar) != 1 || len(w.s3.quar) > 0 != (c.review != "") {
					t.Errorf("review %q, digit check %q; %d masked, %d in quarantine", rec.Review, rec.DigitCheck, len(w.s3.masked), len(w.s3.quar))
				}
			})
		})
	}
}

func TestTheRecordSaysThatDigitsWereNotChecked(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		p.Process(t.Context(), w.payload(tasks.Aadhaar, "OFF"))
		if rec := wantState(t, w, tasks.Aadhaar, "OFF", storage.StateValid, ""); rec.DigitCheck != storage.DigitCheckOff {
			t.Errorf("off: %q", rec.DigitCheck)
		}
		p.HasNumber = func(context.Context, []byte) (bool, error) { panic("the image is refused before") }
		p.CheckMask = func(context.Context, []byte, maskcheck.SourceInfo) (maskcheck.Report, error) {
			return maskcheck.Report{}, &maskcheck.UnsafeError{Code: maskcheck.VisibleQR}
		}
		p.Process(t.Context(), w.payload(tasks.Aadhaar, "QR"))
		if rec := wantState(t, w, tasks.Aadhaar, "QR", storage.StateFailed, unsafeMask); rec.DigitCheck != "" {
			t.Errorf("refused before: %q", rec.DigitCheck)
		}
	})
}

// A process that cannot be started is a fault of the machine: the job waits, and its answer is not paid for again.
func TestAMachineWithoutTesseractDelaysTheJob(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		away := errors.New("fork: out of memory")
		p.HasNumber = func(context.Context, []byte) (bool, error) { return false, away }
		job := w.payload(tasks.Aadhaar, "A")
		if v := p.Process(t.Context(), job); v.Decision != Later {
			t.Fatalf("%+v", v)
		}
		wantState(t, w, tasks.Aadhaar, "A", storage.StateAnswered, "")
		away = nil
		p.Process(t.Context(), job)
		wantState(t, w, tasks.Aadhaar, "A", storage.StateValid, "")
		if len(w.vendor.calls) != 1 || len(w.s3.quar) != 0 {
			t.Errorf("calls %v, %d in quarantine", w.vendor.calls, len(w.s3.quar))
		}
	})
}
