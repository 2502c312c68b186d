package faults

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/tasks"
)

const megabyte = 1 << 20

// filler is the key that fills Redis.
const filler = "filler"

// TestRedisFull fills Redis. From 70 % of maxmemory on nothing is enqueued any more, with a message that says what to do,
// and what is there is worked off; at 100 % even that stops, and goes on by itself when there is room again.
func TestRedisFull(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	s := newStack(t, on(server, nil), atRate("5/s"))
	s.enqueue(30)
	s.fill(0.8)
	s.judgeRefused()
	first := s.work()
	until(t, "what was there is worked off at 80 %", func() bool { return len(s.open()) == 0 })

	s.fill(0.4)
	s.enqueue(30)
	before := s.final()
	s.fill(1.05)
	s.judgeRefused()
	until(t, "the worker has met the full Redis", func() bool { return strings.Contains(first.output(), "OOM command not allowed") })
	stuck := s.final() - before
	s.fill(0.4)
	s.judge(nothing)
	s.judgeCalls(1)
	if stuck == 30 {
		t.Error("all jobs had ended before Redis was full")
	}
}

// fill makes Redis use that share of its maxmemory, by changing the limit: what is in it stays.
func (s *stack) fill(share float64) {
	s.t.Helper()
	ctx := s.t.Context()
	check(s.t, s.redis.ConfigSet(ctx, "maxmemory", "0").Err())
	// The queues are small beside it; and it takes no buffer on its way, which would be counted too.
	check(s.t, s.redis.SetRange(ctx, filler, 64*megabyte, "x").Err())
	m, err := redisx.ReadMemory(ctx, s.redis)
	check(s.t, err)
	check(s.t, s.redis.ConfigSet(ctx, "maxmemory", fmt.Sprintf("%.0f", float64(m.Used)/share)).Err())
}

// judgeRefused checks that neither the library nor the command takes a job.
func (s *stack) judgeRefused() {
	s.t.Helper()
	client, err := tasks.NewClient(tasks.ClientConfig{Redis: s.redis, Ledger: s.store, Keyset: s.keyset})
	check(s.t, err)
	j := s.nextJob(tasks.Passport, false)
	if _, err := client.Enqueue(s.t.Context(), s.task(j, tasks.Live)); !errors.Is(err, redisx.ErrFull) {
		s.t.Errorf("enqueue with Redis full: %v", err)
	}
	line := `{"verification_id":"` + j.id + `","file_number":"` + canaryNumber + `0007","dob":"` + canaryDOB + `"}`
	if _, stderr, code := s.run(line, "enqueue", "passport", "-"); code == 0 || !strings.Contains(stderr, "raise maxmemory") {
		s.t.Errorf("enqueue with Redis full: exit code %d, %s", code, stderr)
	}
	if _, _, err := s.store.Record(s.t.Context(), j.kind, j.id); err == nil {
		s.t.Error("a refused job has a record")
	}
}
