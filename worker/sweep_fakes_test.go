package worker

import (
	"context"
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// fakeRedis is the leadership and the tasks.
type fakeRedis struct {
	mu     sync.Mutex
	taken  bool // another worker leads
	led    int  // calls of Lead
	paused bool
	tasks  map[string]bool // by kind and task id; false: a task that drives nothing
	fault  error           // of Push
}

func newFakeRedis() *fakeRedis { return &fakeRedis{tasks: map[string]bool{}} }

// lose deletes everything, like FLUSHALL.
func (r *fakeRedis) lose() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.tasks)
}

func (r *fakeRedis) Lead(context.Context) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.led++
	return !r.taken, nil
}

// renewals returns the calls of Lead since the last time.
func (r *fakeRedis) renewals() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.led
	r.led = 0
	return n
}

func (r *fakeRedis) Resign(context.Context) error { return nil }

func (r *fakeRedis) Driven(_ context.Context, queue string, ids []string) (driven []bool, paused bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		driven = append(driven, r.tasks[queue+" "+id])
	}
	return driven, r.paused, nil
}

func (r *fakeRedis) Push(_ context.Context, p tasks.JobSpec) (tasks.Status, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fault != nil {
		return "", r.fault
	}
	task := tasks.Queue(p.Kind, p.Lane) + " " + tasks.TaskID(p.VerificationID, p.Run)
	if r.tasks[task] {
		return tasks.AlreadyQueued, nil
	}
	r.tasks[task] = true
	return tasks.Enqueued, nil
}

func (r *fakeRedis) queued() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.tasks))
}

// Records lists the records as they were at the call.
func (s *fakeS3) Records(_ context.Context, kind tasks.Kind) iter.Seq2[string, error] {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for _, doc := range s.docs {
		var rec storage.Record
		if json.Unmarshal(doc.json, &rec) == nil && rec.Kind == kind {
			ids = append(ids, rec.VerificationID)
		}
	}
	slices.Sort(ids)
	return func(yield func(string, error) bool) {
		for _, id := range ids {
			if !yield(id, nil) {
				return
			}
		}
	}
}

// OpenRuns lists the markers as they were at the call.
func (s *fakeS3) OpenRuns(_ context.Context, kind tasks.Kind) iter.Seq2[storage.OpenRun, error] {
	s.mu.Lock()
	defer s.mu.Unlock()
	markers := maps.Clone(s.markers)
	return func(yield func(storage.OpenRun, error) bool) {
		for run, at := range markers {
			if run.Age = time.Since(at); run.Kind == kind && !yield(run, nil) {
				return
			}
		}
	}
}

func (s *fakeS3) MarkersComplete(context.Context) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.complete, nil
}

func (s *fakeS3) SetMarkersComplete(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.complete = true
	return nil
}

// sweeper returns a Sweeper for the world, without batches.
func (w *world) sweeper(p *Processor, r *fakeRedis) *Sweeper {
	return &Sweeper{Processor: p, Ledger: w.s3, Tasks: r, Leader: r, Log: zerolog.Nop()}
}

// putJob stores the record of a new job in the state with its marker, and returns its payload.
func (w *world) putJob(kind tasks.Kind, id string, state storage.State) tasks.JobSpec {
	job := w.payload(kind, id)
	rec := storage.NewRecord(job)
	rec.State = state
	w.s3.markers[storage.OpenRunOf(job)] = time.Now()
	if _, err := w.s3.CreateRecord(context.Background(), rec); err != nil {
		panic(err)
	}
	return job
}
