package faults

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// TestProducerKilled kills a producer after it has written the record of its third job and before it enqueues the task. The
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
	var lines bytes.Buffer
	for range 5 {
		j := s.nextJob(tasks.Passport, false)
		_, _ = fmt.Fprintf(&lines, `{"verification_id":%q,"file_number":"%s7","dob":%q}`+"\n", j.id, canaryNumber, canaryDOB)
		if len(s.accepted) < 3 {
			s.accepted = append(s.accepted, j)
		}
	}
	killer.wait(t, launch(t, s.dir, path, s.env, &lines, "enqueue", "passport", "-"))
	if rec := s.record(s.accepted[2]); rec == nil || rec.State != storage.StateQueued {
		t.Fatalf("the third record: %s", brief(rec))
	}
	s.verify(noLoss)
	s.verifyCalls(1)
}
