package worker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kycq/kycq/internal/vendorid"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func TestAFurtherRunIsRecordedBeforeItsTask(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		p.Process(t.Context(), w.putJob(tasks.Passport, "A", storage.StateQueued))
		r := newFakeRedis()
		r.fault = errInjected // Redis is down
		_, err := Rerun(t.Context(), w.s3, r.Push, tasks.Passport, "A", 0)
		if !errors.Is(err, errInjected) || !strings.Contains(err.Error(), "starts by itself") {
			t.Fatalf("%v", err)
		}
		rec := wantState(t, w, tasks.Passport, "A", storage.StateQueued, "")
		if rec.Run != 2 || len(w.s3.unmarked) != 0 {
			t.Fatalf("run %d, unmarked %v", rec.Run, w.s3.unmarked)
		}
		r.fault = nil
		if err := w.sweeper(p, r).Once(t.Context()); err != nil || !slices.Equal(r.queued(), []string{"passport-live A#2"}) {
			t.Fatalf("%v, %v", r.queued(), err)
		}
		if v := p.Process(t.Context(), rec.JobSpec); v.Decision != Final {
			t.Fatalf("%+v", v)
		}
		rec = wantState(t, w, tasks.Passport, "A", storage.StateValid, "")
		if len(rec.Attempts) != 2 || rec.Attempts[1].ProviderID != vendorid.Derive("passport", "A", 1) || w.vendor.charges != 2 {
			t.Errorf("%+v, %d charges", rec.Attempts, w.vendor.charges)
		}
	})
}

func TestARunThatIsNotFinishedOrWasErasedIsNotRunAgain(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		r := newFakeRedis()
		for _, state := range []storage.State{storage.StateQueued, storage.StateWaiting, storage.StateSent, storage.StateAnswered} {
			w.putJob(tasks.Passport, string(state), state)
			if _, err := Rerun(t.Context(), w.s3, r.Push, tasks.Passport, string(state), 0); !errors.Is(err, ErrNotFinal) {
				t.Errorf("%s: %v", state, err)
			}
		}
		job := w.payload(tasks.Passport, "erased")
		p.Process(t.Context(), job)
		erase(t, w, tasks.Passport, "erased")
		if _, err := Rerun(t.Context(), w.s3, r.Push, tasks.Passport, "erased", 0); !errors.Is(err, ErrErased) {
			t.Errorf("erased: %v", err)
		}
		if _, err := Rerun(t.Context(), w.s3, r.Push, tasks.Passport, "none", 0); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("no record: %v", err)
		}
		if len(r.queued()) != 0 || len(w.s3.markers) != 5 {
			t.Errorf("tasks %v, markers %v", r.queued(), w.s3.markers)
		}
	})
}

// readTogether returns a record only once all callers have read it.
type readTogether struct {
	RecordStore
	reads *sync.WaitGroup
}

func (r readTogether) Record(ctx context.Context, kind tasks.Kind, id string) (*storage.Record, storage.Version, error) {
	rec, version, err := r.RecordStore.Record(ctx, kind, id)
	r.reads.Done()
	r.reads.Wait()
	return rec, version, err
}

// Two retries that have read the same record begin one run, whether they name the run that they have seen or none.
func TestOnlyOneOfTwoRetriesBeginsTheRun(t *testing.T) {
	t.Parallel()
	for _, ifRun := range []int{0, 1} {
		withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
			p.Process(t.Context(), w.payload(tasks.Passport, "A"))
			r, both := newFakeRedis(), readTogether{w.s3, &sync.WaitGroup{}}
			both.reads.Add(2)
			results := make(chan error, 2)
			for range 2 {
				go func() {
					_, err := Rerun(t.Context(), both, r.Push, tasks.Passport, "A", ifRun)
					results <- err
				}()
			}
			first, second := <-results, <-results
			if (first == nil) == (second == nil) || !errors.Is(errors.Join(first, second), storage.ErrConflict) {
				t.Errorf("%v, %v", first, second)
			}
			if rec := w.record(tasks.Passport, "A"); rec.Run != 2 || len(r.queued()) != 1 {
				t.Errorf("run %d, tasks %v", rec.Run, r.queued())
			}
			if _, err := Rerun(t.Context(), w.s3, r.Push, tasks.Passport, "A", 1); !errors.Is(err, ErrOtherRun) {
				t.Errorf("repeated: %v", err)
			}
		})
	}
}
