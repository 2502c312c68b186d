package faults

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// TestProducerKilled kills a producer after it has written the record of its job and before it enqueues the task. The
// leader finds the marker of the job and enqueues the task.
func TestProducerKilled(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.skipReconcile()
	killer := newTrap(producerKill)
	s.recorder.inject(killer.request)
	s.startWorker()
	path, err := binary()
	check(t, err)
	j := s.nextJob(tasks.Passport, false)
	s.accepted = append(s.accepted, j)
	line := strings.NewReader(fmt.Sprintf(`{"verification_id":%q,"file_number":"%s7","dob":%q}`+"\n", j.id, canaryNumber, canaryDOB))
	killer.wait(t, launch(t, s.dir, path, s.env, line, "enqueue", "passport", "-"))
	if rec := s.record(j); rec == nil || rec.State != storage.StateQueued {
		t.Fatalf("the record: %s", brief(rec))
	}
	s.verify(noLoss)
	s.verifyCalls(1)
}
