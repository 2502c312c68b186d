package worker

import (
	"context"
	"slices"
	"testing"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/tasks"
)

// The queues follow the holds (QueuePause.Sync), so a pause before the hold would do nothing.
func TestTheQueuesArePausedAfterTheHoldIsRaised(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, _ *Processor) {
		w.vendor.script = []*cashfree.Reply{{Class: cashfree.NoBalance, HTTPStatus: 422}}
		var held []bool
		parts := w.parts
		parts.OnHold = func(context.Context) { held = append(held, w.gate.held != nil) }
		p, err := NewProcessor(parts, Policy{})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Drain()
		p.Process(t.Context(), w.payload(tasks.Passport, "A"))
		if !slices.Equal(held, []bool{true}) {
			t.Errorf("on hold at the pauses: %v, want once, on hold", held)
		}
	})
}
