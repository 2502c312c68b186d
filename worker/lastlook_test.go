package worker

import (
	"context"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// pacedGate gives slots with the tolerance of the gate, after a wait that depends on how many it has given.
type pacedGate struct {
	*openGate
	slots []time.Time
	wait  func(n int) time.Duration
}

func (g *pacedGate) Acquire(ctx context.Context, c gate.Call) (*gate.Permit, error) {
	if g.wait != nil {
		time.Sleep(g.wait(len(g.slots)))
	}
	p, err := g.openGate.Acquire(ctx, c)
	if err == nil {
		slot := time.Now().Add(100 * time.Millisecond)
		p.UseBy = slot.Add(250 * time.Millisecond)
		g.slots = append(g.slots, slot)
	}
	return p, err
}

// slowPuts delays the writes of records: before they take effect, and before their replies.
type slowPuts struct {
	*fakeS3
	before, after func(n int) time.Duration
	n             int
}

func (s *slowPuts) CreateRecord(ctx context.Context, rec *storage.Record) (storage.Version, error) {
	return s.put(func() (storage.Version, error) { return s.fakeS3.CreateRecord(ctx, rec) })
}

func (s *slowPuts) SwapRecord(ctx context.Context, rec *storage.Record, was storage.Version) (storage.Version, error) {
	return s.put(func() (storage.Version, error) { return s.fakeS3.SwapRecord(ctx, rec, was) })
}

func (s *slowPuts) put(write func() (storage.Version, error)) (storage.Version, error) {
	s.n++
	n := s.n
	if s.before != nil {
		time.Sleep(s.before(n))
	}
	v, err := write()
	if s.after != nil {
		time.Sleep(s.after(n))
	}
	return v, err
}

func afterFirst(d time.Duration) func(int) time.Duration {
	return func(n int) time.Duration {
		if n == 0 {
			return 0
		}
		return d
	}
}

func always(d time.Duration) func(int) time.Duration {
	return func(int) time.Duration { return d }
}

func first(d time.Duration) func(int) time.Duration {
	return func(n int) time.Duration {
		if n == 1 {
			return d
		}
		return 0
	}
}

// lastLook runs a job and returns when its calls left, counted from the beginning.
func lastLook(t *testing.T, w *world, p *Processor, job tasks.JobSpec, wait func(int) time.Duration) (v Verdict, left []time.Duration, g *pacedGate) {
	t.Helper()
	g = &pacedGate{openGate: w.gate, wait: wait}
	p.Gate = g
	began := time.Now()
	p.Vendor = &timedVendor{Vendor: w.vendor, call: func() {
		left = append(left, time.Since(began))
		if slot := g.slots[len(g.slots)-1]; time.Since(slot) > 250*time.Millisecond {
			t.Errorf("a call left %s after its slot", time.Since(slot))
		}
		at := w.record(job.Kind, job.VerificationID).LastAttempt()
		if age := time.Since(at.SentAt); age > time.Duration(max(at.SendWithinMS, 5000))*time.Millisecond {
			t.Errorf("a call left %s after its intent, which allows %d ms", age, at.SendWithinMS)
		}
	}}
	v = p.Process(t.Context(), job)
	return v, left, g
}

type timedVendor struct {
	Vendor
	call func()
}

func (v *timedVendor) VerifyPassport(ctx context.Context, r cashfree.PassportRequest) *cashfree.Reply {
	v.call()
	return v.Vendor.VerifyPassport(ctx, r)
}

func (v *timedVendor) MaskAadhaar(ctx context.Context, r cashfree.MaskRequest) *cashfree.Reply {
	v.call()
	return v.Vendor.MaskAadhaar(ctx, r)
}

func TestASlotIsUsedOnTimeOrGivenBack(t *testing.T) {
	t.Parallel()
	for name, stall := range map[string]time.Duration{"in time": 0, "a moment": time.Second, "S3 stalls": 4 * time.Second, "longer than the intent": 7 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
				p.Records = &slowPuts{fakeS3: w.s3, before: first(stall)}
				v, left, g := lastLook(t, w, p, w.payload(tasks.Passport, "A"), nil)
				if v.Decision != Final || len(left) != 1 {
					t.Fatalf("%+v, calls %v", v, left)
				}
				want := []gate.OutcomeKind{gate.Unused, gate.Answered}
				if stall == 0 {
					want = want[1:]
				}
				if !slices.Equal(w.gate.outcomes, want) || len(g.slots) != len(want) {
					t.Errorf("outcomes %v, want %v; %d slots", w.gate.outcomes, want, len(g.slots))
				}
				if rec := w.record(tasks.Passport, "A"); len(rec.Attempts) != 1 {
					t.Errorf("%+v", rec.Attempts)
				}
			})
		})
	}
}

func TestSlowWritesDelayACallAndDoNotPreventIt(t *testing.T) {
	t.Parallel()
	for _, takes := range []time.Duration{2 * time.Second, 6 * time.Second, 10 * time.Second, 14 * time.Second} {
		for name, wait := range map[string]time.Duration{"a free gate": 0, "a busy gate": takes / 2} {
			t.Run(takes.String()+", "+name, func(t *testing.T) {
				t.Parallel()
				withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
					p.Records = &slowPuts{fakeS3: w.s3, before: always(takes)}
					_, left, _ := lastLook(t, w, p, w.payload(tasks.Passport, "A"), afterFirst(wait))
					if len(left) != 1 {
						t.Errorf("%d calls", len(left))
					}
					rec := w.record(tasks.Passport, "A")
					if want := min(max(2*takes, 5*time.Second), 30*time.Second).Milliseconds(); takes > 5*time.Second && rec.Attempts[0].SendWithinMS/100 != want/100 {
						t.Errorf("the intent allows %d ms, want %d", rec.Attempts[0].SendWithinMS, want)
					}
					// The next job of this worker needs no second intent.
					s := &slowPuts{fakeS3: w.s3, before: always(takes)}
					p.Records = s
					if _, left, _ := lastLook(t, w, p, w.payload(tasks.Passport, "B"), afterFirst(wait)); len(left) != 1 || s.n != 2 {
						t.Errorf("%d calls, %d writes", len(left), s.n)
					}
				})
			})
		}
	}
}

func TestAnIntentThatIsAlwaysTooOldIsWithdrawn(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		s := &slowPuts{fakeS3: w.s3, before: func(n int) time.Duration { return []time.Duration{40, 40, 40, 40, 1}[min(n-1, 4)] * time.Second }}
		p.Records = s
		v, left, g := lastLook(t, w, p, w.payload(tasks.Passport, "A"), nil)
		if v.Decision != Later || v.Reason != "storage_slow" || len(left) != 0 || s.n != maxIntents+1 {
			t.Fatalf("%+v, %d calls, %d writes", v, len(left), s.n)
		}
		rec := wantState(t, w, tasks.Passport, "A", storage.StateWaiting, "")
		if rec.MaybeCharged() || rec.Attempts[0].Result != resultNotSent {
			t.Errorf("%+v", rec.Attempts)
		}
		if len(g.slots) != len(w.gate.outcomes) {
			t.Errorf("%d slots, %d returned", len(g.slots), len(w.gate.outcomes))
		}
		p.Records = w.s3
		w.processUntilFinal(t, p, w.payload(tasks.Passport, "A"))
		wantState(t, w, tasks.Passport, "A", storage.StateValid, "")
	})
}

// The gate closes while a slot is exchanged.
func TestAJobWhoseSlotCannotBeExchangedGoesBackToWaiting(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		p.Records = &slowPuts{fakeS3: w.s3, after: func(n int) time.Duration {
			if n > 1 {
				return 0
			}
			_, _ = w.gate.RaiseHold(t.Context(), hold.Hold{Cause: hold.Operator})
			return 2 * time.Second
		}}
		v, left, _ := lastLook(t, w, p, w.payload(tasks.Passport, "A"), nil)
		if v.Decision != Later || v.Reason != "held" || len(left) != 0 {
			t.Fatalf("%+v, %d calls", v, len(left))
		}
		if rec := wantState(t, w, tasks.Passport, "A", storage.StateWaiting, ""); rec.MaybeCharged() {
			t.Errorf("%+v", rec.Attempts)
		}
	})
}

// A worker is stopped after its intent, at any point until the request. Meanwhile another one takes over.
func TestAWorkerThatWakesUpAfterATakeoverSendsNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ put, wait time.Duration }{
		"in the reply of the intent": {put: 10 * time.Minute}, "while it waits for another slot": {put: time.Second, wait: 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
				job := w.payload(tasks.Passport, "A")
				parts := w.parts
				parts.Records = &slowPuts{fakeS3: w.s3, after: first(c.put)}
				parts.Gate = &pacedGate{openGate: w.gate, wait: afterFirst(c.wait)}
				paused, err := NewProcessor(parts, Policy{})
				if err != nil {
					t.Fatal(err)
				}
				var wg sync.WaitGroup
				wg.Go(func() { paused.Process(t.Context(), job) })
				time.Sleep(time.Minute)
				w.processUntilFinal(t, p, job)
				wg.Wait()
				if len(w.vendor.calls) != 1 {
					t.Errorf("calls %v", w.vendor.calls)
				}
				wantState(t, w, tasks.Passport, "A", storage.StateValid, "")
			})
		})
	}
}

func TestTheTakeoverAgeCoversTheTimeInWhichTheIntentMayBeSent(t *testing.T) {
	t.Parallel()
	for within, want := range map[int64]time.Duration{0: 45 * time.Second, 5000: 45 * time.Second, 30_000: 70 * time.Second} {
		withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
			at := sentAt(0)
			at.SendWithinMS = within
			job := w.payload(tasks.Passport, "A")
			w.putRecord(t, job, storage.StateSent, at)
			if v := p.Process(t.Context(), job); v.Reason != "call_in_flight" || want-v.After > time.Second || v.After > want {
				t.Errorf("send_within_ms %d: %+v", within, v)
			}
		})
	}
}

// The slot is exchanged for so long that S3 has closed the stream of the image.
func TestAnImageThatWaitedIsOpenedAgain(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		p.Images = &closingImages{fakeS3: w.s3}
		p.Records = &slowPuts{fakeS3: w.s3, before: first(time.Second)}
		p.Gate = &pacedGate{openGate: w.gate, wait: afterFirst(time.Minute)}
		w.processUntilFinal(t, p, w.payload(tasks.Aadhaar, "A"))
		wantState(t, w, tasks.Aadhaar, "A", storage.StateValid, "")
		if len(w.vendor.calls) != 1 {
			t.Errorf("calls %v", w.vendor.calls)
		}
	})
}

// closingImages break off when they are read 30 s after they were opened.
type closingImages struct{ *fakeS3 }

func (s *closingImages) OpenImage(ctx context.Context, img tasks.Image) (io.ReadCloser, int64, error) {
	body, size, err := s.fakeS3.OpenImage(ctx, img)
	return &closingBody{ReadCloser: body, opened: time.Now()}, size, err
}

type closingBody struct {
	io.ReadCloser
	opened time.Time
}

func (b *closingBody) Read(p []byte) (int, error) {
	if time.Since(b.opened) > 30*time.Second {
		panic("the stream is closed")
	}
	return b.ReadCloser.Read(p)
}
