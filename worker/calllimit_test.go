package worker

import (
	"context"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// limitedBatches counts calls against a limit, and remembers the highest count.
type limitedBatches struct {
	fakeBatches
	limit, calls, most int
}

func (b *limitedBatches) TakeCall(context.Context, string) (bool, error) {
	if b.calls >= b.limit {
		return false, nil
	}
	b.calls++
	b.most = max(b.most, b.calls)
	return true, nil
}

func (b *limitedBatches) ReturnCall(context.Context, string) error {
	b.calls--
	return nil
}

type refusedWrites struct{ *fakeS3 }

func (refusedWrites) CreateRecord(context.Context, *storage.Record) (storage.Version, error) {
	return storage.Version{}, storage.ErrDenied
}

func (refusedWrites) SwapRecord(context.Context, *storage.Record, storage.Version) (storage.Version, error) {
	return storage.Version{}, storage.ErrDenied
}

func TestOnlyCallsThatLeaveCountAgainstTheLimitOfTheBatch(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(t *testing.T, w *world, p *Processor)
		most    int // greatest count at any time
	}{
		"S3 takes no writes": {func(_ *testing.T, w *world, p *Processor) { p.Records = refusedWrites{w.s3} }, 0},
		"the intents are withdrawn": {func(t *testing.T, w *world, p *Processor) {
			p.Records = &slowPuts{fakeS3: w.s3, after: func(n int) time.Duration {
				_, _ = w.gate.RaiseHold(t.Context(), hold.Hold{Code: "operator"})
				return 2 * time.Second
			}}
			p.Gate = &pacedGate{openGate: w.gate}
		}, 1},
		"Cashfree is unreachable": {func(_ *testing.T, w *world, _ *Processor) {
			for range 20 {
				w.vendor.script = append(w.vendor.script, &cashfree.Reply{Class: cashfree.NotSent, Err: errInjected})
			}
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{MaxAttempts: 100}, func(t *testing.T, w *world, p *Processor) {
				job := w.payload(tasks.Passport, "A")
				job.Batch, job.Row = "b-00000000", 1
				b := &limitedBatches{limit: 2}
				p.Batches = b
				c.prepare(t, w, p)
				for range 20 {
					w.gate.resume()
					time.Sleep(p.Process(t.Context(), job).After)
				}
				if b.calls != 0 || b.most > c.most {
					t.Fatalf("%d calls are counted, at most %d", b.calls, b.most)
				}
				p.Records, p.Gate, w.vendor.script = w.s3, w.gate, nil
				w.gate.resume()
				w.processUntilFinal(t, p, job)
				if wantState(t, w, tasks.Passport, "A", storage.StateValid, ""); b.calls != 1 {
					t.Errorf("%d calls are counted, 1 was made", b.calls)
				}
			})
		})
	}
}

func TestNoCallIsMadeBeyondTheLimitOfTheBatch(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		b := &limitedBatches{limit: 2}
		p.Batches = b
		w.vendor.script = []*cashfree.Reply{reply(cashfree.OtherStatus, 502), reply(cashfree.OtherStatus, 502)}
		job := w.payload(tasks.Passport, "A")
		job.Batch, job.Row = "b-00000000", 1
		var v Verdict
		for range 10 {
			v = p.Process(t.Context(), job)
			time.Sleep(v.After)
		}
		rec := wantState(t, w, tasks.Passport, "A", storage.StateWaiting, "")
		if len(w.vendor.calls) != 2 || v.Reason != "call_limit_reached" || rec.Reason != v.Reason || rec.MaybeCharged() {
			t.Errorf("%d calls, %+v, %+v", len(w.vendor.calls), v, rec.Attempts)
		}
		if n := len(rec.Attempts); n > 3 {
			t.Errorf("%d attempts in the record", n)
		}
	})
}
