package worker

import (
	"testing"
	"time"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Another worker, whose clock was wrong, has put the job into state waiting.
func TestAJobWaitsForADurationWhateverTheClockOfItsWriterSaid(t *testing.T) {
	t.Parallel()
	const year = 365 * 24 * time.Hour
	for name, c := range map[string]struct{ skew, wait, want time.Duration }{
		"right":              {0, 5 * time.Second, 5 * time.Second},
		"a year ahead":       {year, 5 * time.Second, 5 * time.Second},
		"a year behind":      {-year, 5 * time.Second, 5 * time.Second},
		"two minutes behind": {-2 * time.Minute, 5 * time.Second, 5 * time.Second},
		"set in between":     {0, year, 10 * time.Minute}, // retry-max
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
				job := w.payload(tasks.Passport, "A")
				w.putRecord(t, job, storage.StateWaiting)
				rec := w.record(tasks.Passport, "A")
				rec.Reason, rec.UpdatedAt = "cashfree_unreachable", time.Now().Add(c.skew)
				rec.NotBefore = rec.UpdatedAt.Add(c.wait)
				w.s3.setRecord(rec)
				if v := p.Process(t.Context(), job); v.Decision != Later || v.After > c.want || c.want-v.After > time.Second {
					t.Fatalf("%+v, want to wait %s", v, c.want)
				}
				time.Sleep(c.want)
				if v := p.Process(t.Context(), job); v.Decision != Final {
					t.Errorf("%+v", v)
				}
			})
		})
	}
}

// A lost answer is found in Redis. The worker that made the call had another clock.
func TestTheRestOfALostCallIsTimedByTheWorkerThatMadeIt(t *testing.T) {
	t.Parallel()
	at := storage.Attempt{Run: 1, TimeoutMS: 30_000}
	rec := &storage.Record{Attempts: []storage.Attempt{at}}
	sent := time.Now().Add(-24 * time.Hour)
	got := remainingCallTime(rec, ruling{result: resultUnknown}, answer{Class: cashfree.Lost, SentAt: sent, EndedAt: sent.Add(30 * time.Second)})
	if want := takeoverAge(at) - 30*time.Second; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
