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

// TestRedisFull fills Redis. From 70 % of maxmemory on, nothing is enqueued, with a message that says what to do, while queued
// jobs are processed. At 100 % processing stops, and continues by itself once there is room.
func TestRedisFull(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	s := newStack(t, onRedis(server, nil), atRate("5/s"))
	s.enqueue(30)
	s.fill(0.8)
	s.verifyRefused()
	first := s.startWorker()
	until(t, "the queued jobs are processed at 80 %", func() bool { return len(s.unfinished()) == 0 })

	s.fill(0.4)
	s.enqueue(30)
	before := s.finished()
	s.fill(1.05)
	s.verifyRefused()
	until(t, "the worker has noticed that Redis is full", func() bool { return strings.Contains(first.output(), "OOM command not allowed") })
	stuck := s.finished() - before
	s.fill(0.4)
	s.verify(noLoss)
	s.verifyCalls(1)
	if stuck == 30 {
		t.Error("all jobs were finished before Redis was full")
	}
}

// fill sets maxmemory so that Redis uses that share of it.
func (s *stack) fill(share float64) {
	s.t.Helper()
	ctx := s.t.Context()
	check(s.t, s.redis.ConfigSet(ctx, "maxmemory", "0").Err())
	// Large compared with the queues. SETRANGE needs no client buffer, which would count as used memory.
	check(s.t, s.redis.SetRange(ctx, filler, 64*megabyte, "x").Err())
	m, err := redisx.ReadMemory(ctx, s.redis)
	check(s.t, err)
	check(s.t, s.redis.ConfigSet(ctx, "maxmemory", fmt.Sprintf("%.0f", float64(m.Used)/share)).Err())
}

// verifyRefused checks that neither the library nor the command accepts a job.
func (s *stack) verifyRefused() {
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
