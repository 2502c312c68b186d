package worker

import (
	"testing"
	"time"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// countingObserver counts events.
type countingObserver struct {
	nopObserver
	sending, called, written int
	finished                 []storage.State
}

func (c *countingObserver) Sending(tasks.Kind, storage.Attempt)              { c.sending++ }
func (c *countingObserver) Called(tasks.Kind, cashfree.Class, time.Duration) { c.called++ }
func (c *countingObserver) Finished(rec *storage.Record)                     { c.finished = append(c.finished, rec.State) }

func (c *countingObserver) RecordWritten(_ tasks.Kind, conflict bool) {
	if !conflict {
		c.written++
	}
}

// The job is delivered three times, and the deletion of its upload writes the final record again.
func TestAJobIsCountedAsFinishedOnce(t *testing.T) {
	t.Parallel()
	for _, kind := range tasks.Kinds() {
		withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
			c := &countingObserver{}
			p.Observer = c
			job := w.payload(kind, "A")
			for range 3 {
				if v := p.Process(t.Context(), job); v.Decision != Final {
					t.Fatalf("%+v", v)
				}
			}
			if len(c.finished) != 1 || c.finished[0] != storage.StateValid {
				t.Errorf("%s finished %v, want valid once", kind, c.finished)
			}
			if c.sending != 1 || c.called != 1 || c.written < 2 {
				t.Errorf("%s: %d sent, %d answered, %d records written", kind, c.sending, c.called, c.written)
			}
		})
	}
}
