package worker

import (
	"cmp"
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

// fakeRedis is the open set, the epoch, the leadership and the tasks.
type fakeRedis struct {
	mu    sync.Mutex
	open  map[string]map[string]time.Time
	epoch string // empty: lost
	taken bool   // another worker leads
	tasks map[string]bool
	fault error // of Push
	// wipe runs once, at the beginning of the next Finish.
	wipe func()
}

func newFakeRedis() *fakeRedis {
	r := &fakeRedis{}
	r.lose()
	return r
}

// lose deletes everything, like FLUSHALL.
func (r *fakeRedis) lose() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open, r.tasks, r.epoch = map[string]map[string]time.Time{}, map[string]bool{}, ""
}

func (r *fakeRedis) AddAll(_ context.Context, kind string, ids []string, at time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[kind] == nil {
		r.open[kind] = map[string]time.Time{}
	}
	for _, id := range ids {
		r.open[kind][id] = at
	}
	return nil
}

func (r *fakeRedis) Remove(_ context.Context, kind, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open[kind], id)
	return nil
}

func (r *fakeRedis) Range(_ context.Context, kind string, before time.Time, limit int) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	set := r.open[kind]
	ids := slices.SortedFunc(maps.Keys(set), func(a, b string) int { return cmp.Compare(set[a].UnixNano(), set[b].UnixNano()) })
	ids = slices.DeleteFunc(ids, func(id string) bool { return !set[id].Before(before) })
	return ids[:min(len(ids), limit)], nil
}

func (r *fakeRedis) has(kind tasks.Kind, id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.open[string(kind)][id]
	return ok
}

func (r *fakeRedis) Lost(context.Context) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.epoch != "done", nil
}

func (r *fakeRedis) Begin(context.Context) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epoch = "rebuilding"
	return "token", nil
}

func (r *fakeRedis) Finish(context.Context, string) (bool, error) {
	if wipe := r.wipe; wipe != nil {
		r.wipe = nil
		wipe()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.epoch != "rebuilding" {
		return false, nil
	}
	r.epoch = "done"
	return true, nil
}

func (r *fakeRedis) Lead(context.Context) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.taken, nil
}

func (r *fakeRedis) Resign(context.Context) error { return nil }

func (r *fakeRedis) push(_ context.Context, p tasks.JobSpec) (tasks.Status, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fault != nil {
		return "", r.fault
	}
	task := string(p.Kind) + " " + tasks.TaskID(p.VerificationID, p.Run)
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

// sweeper returns a Sweeper for the world, without batches.
func (w *world) sweeper(p *Processor, r *fakeRedis) *Sweeper {
	return &Sweeper{
		Processor: p, Records: w.s3, Listing: w.s3, OpenSet: r, Epoch: r, Leader: r, Push: r.push, Log: zerolog.Nop(),
	}
}

// putJob stores the record of a new job in the state, and returns its payload.
func (w *world) putJob(kind tasks.Kind, id string, state storage.State) tasks.JobSpec {
	job := w.payload(kind, id)
	rec := storage.NewRecord(job)
	rec.State = state
	if _, err := w.s3.CreateRecord(context.Background(), rec); err != nil {
		panic(err)
	}
	return job
}
