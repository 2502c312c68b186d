package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hibiken/asynq"

	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// rotated runs kycq keys rotate, and returns the installation as processes with the new keyset see it.
func (s *stack) rotated(name string, flags ...string) *stack {
	s.t.Helper()
	path := filepath.Join(s.dir, name+".json")
	args := append([]string{"keys", "rotate", "--out", path}, flags...)
	if out, stderr, code := s.run(nil, args...); code != 0 {
		s.t.Fatalf("%v: exit code %d\n%s%s", args, code, out, stderr)
	}
	return s.with("KYCQ_KEYSET_FILE=" + path)
}

// primary is the id of the key that encrypts.
func (s *stack) primary() uint32 {
	s.t.Helper()
	doc, err := os.ReadFile(s.setting("KYCQ_KEYSET_FILE"))
	if err != nil {
		s.t.Fatal(err)
	}
	keyset, err := seal.Parse(doc)
	if err != nil {
		s.t.Fatal(err)
	}
	info := keyset.Info()
	return info[slices.IndexFunc(info, func(k seal.KeyInfo) bool { return k.Primary })].ID
}

// The keyset is distributed to one process after the other, while the queues hold jobs of both kinds and a backfill: the fleet
// has two keysets at any time.
func TestStagedRotationDuringABatchHasNoErrors(t *testing.T) {
	t.Parallel()
	old := newStack(t).with("KYCQ_PASSPORT_RATE=10/s") // the batch takes longer than the rotation
	staged := old.rotated("staged", "--stage")
	promoted := staged.rotated("promoted", "--promote")
	const rows = 200
	old.submitPassports(t, rows)
	var passports, cards []string
	enqueue := func(producers ...*stack) {
		for _, s := range producers {
			ids := []string{fmt.Sprintf("p%d", len(passports)), fmt.Sprintf("p%d", len(passports)+1)}
			s.enqueuePassports(ids...)
			passports = append(passports, ids...)
			cards = append(cards, fmt.Sprintf("c%d", len(cards)))
			s.enqueueAadhaar(cards[len(cards)-1])
		}
	}
	enqueue(old)
	workers := []*process{old.start("worker"), old.start("worker")}
	all := slices.Clone(workers)
	for _, next := range []*stack{staged, promoted} {
		before := old
		if next == promoted {
			before = staged
		}
		for i := range workers {
			enqueue(before, next)
			eventually(t, func() bool { return strings.Contains(workers[i].read(t), "worker started") })
			workers[i].terminate(t)
			workers[i] = next.start("worker")
			all = append(all, workers[i])
			enqueue(next, before)
		}
	}
	for _, id := range passports {
		old.wantOneCall(t, tasks.Passport, id)
	}
	for _, id := range cards {
		old.wantOneCall(t, tasks.Aadhaar, id)
	}
	for i := range rows {
		old.wantOneCall(t, tasks.Passport, fmt.Sprintf("row-%d", i+1))
	}
	for _, worker := range all {
		log := worker.read(t)
		for _, word := range []string{"key_missing", `"level":"error"`, "parked"} {
			if strings.Contains(log, word) {
				t.Errorf("a worker's log contains %s", word)
			}
		}
	}
	old.wantBothKeysInUse(t, promoted)
}

// wantOneCall waits for the record of a job and checks that it is valid after one call. The record may not exist yet.
func (s *stack) wantOneCall(t *testing.T, kind tasks.Kind, id string) {
	t.Helper()
	var rec *storage.Record
	eventually(t, func() bool {
		var err error
		rec, _, err = s.store.Record(t.Context(), kind, id)
		return err == nil && rec.State.Final()
	})
	if rec.State != storage.StateValid || len(rec.Attempts) != 1 || s.vendor.count(id) != 1 {
		t.Errorf("%s %s: %s %q, %d attempts, %d calls", kind, id, rec.State, rec.Code, len(rec.Attempts), s.vendor.count(id))
	}
}

// wantBothKeysInUse checks that records were encrypted with both keys, and the batch with the old one only.
func (s *stack) wantBothKeysInUse(t *testing.T, after *stack) {
	t.Helper()
	objects, err := s.s3.Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for key, inBatch := range map[uint32]bool{s.primary(): true, after.primary(): false} {
		objectsWith := map[string]int{} // by folder
		for _, o := range objects {
			if folder, _, _ := strings.Cut(o.Key, "/"); bytes.Contains(o.Body, fmt.Appendf(nil, "kq1.%d.", key)) {
				objectsWith[folder]++
			}
		}
		if objectsWith["records"] == 0 {
			t.Errorf("no record was encrypted with key %d: the rotation was too early or too late", key)
		}
		if (objectsWith["batches"] > 0) != inBatch {
			t.Errorf("%d objects of batches were encrypted with key %d", objectsWith["batches"], key)
		}
	}
}

func TestRotationInOneStepPostponesJobsAndFailsNone(t *testing.T) {
	t.Parallel()
	old := newStack(t)
	next := old.rotated("next")
	worker := old.start("worker")
	next.enqueuePassports("late-1", "late-2")
	next.enqueueAadhaar("late-3")
	old.enqueuePassports("early")
	old.wantOneCall(t, tasks.Passport, "early") // the worker processes what it can decrypt
	late := map[string]tasks.Kind{"late-1": tasks.Passport, "late-2": tasks.Passport, "late-3": tasks.Aadhaar}
	old.wantPostponed(t, len(late))
	if !strings.Contains(worker.read(t), "the keyset lacks the key of a task: it waits") {
		t.Error("the worker does not say why jobs wait")
	}
	for id, kind := range late {
		if rec, _, err := old.store.Record(t.Context(), kind, id); err != nil || rec.State != storage.StateQueued {
			t.Errorf("%s: %+v, %v", id, rec, err)
		}
		if old.vendor.count(id) != 0 {
			t.Errorf("%s was called", id)
		}
	}
	worker.terminate(t)
	next.start("worker")
	next.runPostponed(t)
	for id, kind := range late {
		old.wantOneCall(t, kind, id)
	}
}

// wantPostponed waits until n tasks wait for their next attempt.
func (s *stack) wantPostponed(t *testing.T, n int) {
	t.Helper()
	inspector := s.inspector(t)
	eventually(t, func() bool {
		waiting := 0
		for _, queue := range tasks.Queues() {
			if info, err := inspector.GetQueueInfo(queue); err == nil {
				waiting += info.Retry
			}
		}
		return waiting == n
	})
}

// runPostponed runs postponed jobs at once. They would wait for minutes.
func (s *stack) runPostponed(t *testing.T) {
	t.Helper()
	inspector := s.inspector(t)
	for _, queue := range tasks.Queues() {
		if _, err := inspector.RunAllRetryTasks(queue); err != nil && !strings.Contains(err.Error(), "does not exist") {
			t.Fatal(err)
		}
	}
}

func (s *stack) inspector(t *testing.T) *asynq.Inspector {
	t.Helper()
	client := s.redisClient(t)
	t.Cleanup(func() { _ = client.Close() })
	return asynq.NewInspectorFromRedisClient(client)
}
