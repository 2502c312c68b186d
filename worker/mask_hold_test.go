package worker

import (
	"context"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/internal/testenv"
	"github.com/kycq/kycq/tasks"
)

// heldGate keeps its holds in Redis. It denies a permit while one covers the kind.
type heldGate struct {
	*hold.Set
	open openGate
}

func (g *heldGate) Acquire(ctx context.Context, c gate.Call) (*gate.Permit, error) {
	holds, err := g.Holds(ctx)
	if h := hold.Of(c.Kind, holds); err != nil || h != nil && !h.Probing {
		return nil, &gate.ClosedError{Reason: gate.ReasonHeld, Hold: h}
	}
	return g.open.Acquire(ctx, c)
}

func (g *heldGate) Report(ctx context.Context, permit *gate.Permit, o gate.Outcome) error {
	return g.open.Report(ctx, permit, o)
}

func (g *heldGate) GoodAnswer(ctx context.Context, kind string) error {
	return g.Set.GoodAnswer(ctx, kind)
}

func (g *heldGate) OddAnswer(ctx context.Context, kind, job string) (hold.Streak, error) {
	return g.Set.OddAnswer(ctx, kind, job)
}

// cards are what two workers make of cards whose masks are safe or not.
type cards struct {
	*world
	t       *testing.T
	client  redis.UniversalClient
	workers []*Processor
	unsafe  bool
	made    int
	paused  int
}

func newCards(t *testing.T) *cards {
	t.Helper()
	w := newWorld(&chaos{}, testKeyset)
	c := &cards{world: w, t: t, client: testenv.RedisClient(t)}
	w.parts.Gate = &heldGate{Set: hold.NewSet(c.client)}
	w.parts.OnHold = func(context.Context) { c.paused++ }
	w.parts.CheckMask = func(ctx context.Context, masked []byte, source maskcheck.SourceInfo) (maskcheck.Report, error) {
		if c.unsafe {
			return maskcheck.Report{}, &maskcheck.UnsafeError{Code: maskcheck.VisibleQR}
		}
		return checkAlwaysSafe(ctx, masked, source)
	}
	c.workers = []*Processor{c.worker(w.parts), c.worker(w.parts)}
	return c
}

func (c *cards) worker(parts Parts) *Processor {
	c.t.Helper()
	p, err := NewProcessor(parts, Policy{})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(p.Drain)
	return p
}

// end processes n new cards, each delivered to both workers, and returns how many calls that made.
func (c *cards) end(n int, unsafe bool) (calls int) {
	c.unsafe = unsafe
	before := len(c.vendor.calls)
	for range n {
		c.made++
		job := c.payload(tasks.Aadhaar, fmt.Sprintf("CARD%03d", c.made))
		for i := range c.workers {
			c.workers[(c.made+i)%len(c.workers)].Process(c.t.Context(), job)
		}
	}
	return len(c.vendor.calls) - before
}

func (c *cards) holds() []hold.Hold {
	c.t.Helper()
	holds, err := hold.NewSet(c.client).Holds(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return holds
}

func TestMasksThatFailTheCheckHoldTheirKind(t *testing.T) {
	t.Parallel()
	c := newCards(t)
	for range 5 { // 9 of any 20 are unsafe
		c.end(9, true)
		c.end(11, false)
	}
	if h := c.holds(); len(h) > 0 || len(c.vendor.calls) != c.made {
		t.Fatalf("holds %+v, %d calls for %d cards", h, len(c.vendor.calls), c.made)
	}
	if calls := c.end(30, true); calls != 10 {
		t.Errorf("%d cards were paid for after masks began to fail, want 10", calls)
	}
	holds := c.holds()
	if len(holds) != 1 || holds[0].Cause != hold.MaskCheck || holds[0].Kind != "aadhaar" || c.paused == 0 ||
		holds[0].Reason != "10 of the last 20 masked images failed the check" {
		t.Fatalf("holds %+v, queues paused %d times", holds, c.paused)
	}
	c.workers[0].Process(t.Context(), c.payload(tasks.Passport, "P"))
	if n := len(c.vendor.calls); n != 111 {
		t.Errorf("%d calls: the other kind is held, too", n)
	}
	if err := hold.NewSet(c.client).ResumeHolds(t.Context(), holds...); err != nil {
		t.Fatal(err)
	}
	if calls := c.end(30, true); calls != 10 {
		t.Errorf("%d cards were paid for after the hold was resumed, want 10", calls)
	}
}

// A worker that dies after the record is final leaves the count to the next delivery.
func TestACardWhoseWorkerDiedIsCountedOnce(t *testing.T) {
	t.Parallel()
	c := newCards(t)
	c.end(9, true)
	c.unsafe = true
	job := c.payload(tasks.Aadhaar, "LAST")
	parts := c.parts
	parts.Gate = dyingGate{parts.Gate}
	if v := c.worker(parts).Process(t.Context(), job); v.Decision == Final || len(c.holds()) > 0 {
		t.Fatalf("%+v, holds %+v", v, c.holds())
	}
	for range 3 {
		if v := c.workers[1].Process(t.Context(), job); v.Decision != Final {
			t.Fatalf("%+v", v)
		}
	}
	if holds := c.holds(); len(holds) != 1 || holds[0].Reason != "10 of the last 10 masked images failed the check" {
		t.Errorf("holds %+v", holds)
	}
}

// dyingGate cannot count.
type dyingGate struct{ Gate }

func (dyingGate) CountEnd(context.Context, hold.Hold, hold.End, int) (bad, of int, err error) {
	return 0, 0, context.DeadlineExceeded
}
