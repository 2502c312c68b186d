package faults

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// maxParked limits the delay of a task or a record: the longest one of these scenarios is the takeover age, 45 to 70 s.
const maxParked = 2 * time.Minute

// parked notes the tasks that asynq would not deliver within maxParked.
type parked struct {
	mu    sync.Mutex
	found map[string]bool
}

// search looks at the last task of each queue that waits for its time, and for archived tasks, which wait for a person.
func (p *parked) search(ctx context.Context, s *stack) {
	for _, queue := range tasks.Queues() {
		for _, set := range []string{"scheduled", "retry"} {
			last, err := s.redis.ZRevRangeWithScores(ctx, "asynq:{"+queue+"}:"+set, 0, 0).Result()
			if err != nil || len(last) == 0 {
				continue
			}
			if wait := time.Until(time.Unix(int64(last[0].Score), 0)); wait > maxParked {
				p.note(fmt.Sprintf("the task %v of %s waits for %s", last[0].Member, queue, wait.Round(time.Second)))
			}
		}
		if ids := s.redis.ZRange(ctx, "asynq:{"+queue+"}:archived", 0, 4).Val(); len(ids) > 0 {
			p.note(fmt.Sprintf("archived tasks of %s: %v", queue, ids))
		}
	}
}

func (p *parked) note(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found == nil {
		p.found = map[string]bool{}
	}
	p.found[what] = true
}

func (p *parked) verify(t testing.TB) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, what := range slices.Sorted(maps.Keys(p.found)) {
		t.Errorf("parked: %s", what)
	}
}

// verifyDelays checks that no record says that its job waits for longer than maxParked.
func verifyDelays(history []write, fail func(string, ...any)) {
	for _, w := range history {
		if wait := w.rec.NotBefore.Sub(w.rec.UpdatedAt); w.rec.State == storage.StateWaiting && wait > maxParked {
			fail("waits for %s: %s", wait, brief(&w.rec))
		}
	}
}

// pauseSpan is an operator's pause, from when on no call may be made. to is zero while it lasts.
type pauseSpan struct{ from, to time.Time }

// pausedWithin is the time in which a call whose slot was granted before a pause ends: its wait for the slot, and the call.
const pausedWithin = 5 * time.Second

// awaitPause waits until the workers have the pause again that Redis has lost, or make calls.
func (s *stack) awaitPause() {
	s.t.Helper()
	calls := len(s.ledger())
	until(s.t, "the fleet is on hold again", func() bool { return s.held() || len(s.ledger()) > calls })
}

// pauseFleet pauses the fleet as an operator does.
func (s *stack) pauseFleet() {
	s.t.Helper()
	if _, stderr, code := s.run("", "fleet", "pause", "--reason", "invoice dispute"); code != 0 {
		s.t.Fatalf("fleet pause: exit code %d\n%s", code, stderr)
	}
	from := time.Now()
	if slices.ContainsFunc(s.workers, (*process).running) {
		from = from.Add(pausedWithin)
	}
	s.pauses = append(s.pauses, pauseSpan{from: from})
}

// resume lifts all holds.
func (s *stack) resume() {
	s.t.Helper()
	if n := len(s.pauses); n > 0 && s.pauses[n-1].to.IsZero() {
		s.pauses[n-1].to = time.Now()
	}
	if _, stderr, code := s.run("", "fleet", "resume"); code != 0 {
		s.t.Fatalf("fleet resume: exit code %d\n%s", code, stderr)
	}
}

// verifyPauses checks that no call was made during a pause.
func (s *stack) verifyPauses() {
	s.t.Helper()
	for _, e := range s.ledger() {
		for _, p := range s.pauses {
			if e.At.After(p.from) && (p.to.IsZero() || e.At.Before(p.to)) {
				s.t.Errorf("a call for %s was made during a pause, at %s: %+v", e.VerificationID, e.At, p)
			}
		}
	}
}
