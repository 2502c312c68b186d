package faults

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// TestProducerKilled kills a producer between the record and the task of its third job. The sweep finds the record in the
// open set and has it worked on; nobody hands it in again.
func TestProducerKilled(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	w := s.work()
	// The first worker on a new Redis lists all records in S3; what is killed before that is found by it.
	until(t, "the worker has listed the records", func() bool { return strings.Contains(w.output(), `"message":"rebuilt"`) })
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
	cmd := exec.CommandContext(context.Background(), path, "enqueue", "passport", "-")
	cmd.Env = append(append([]string(nil), s.env...), "KYCQ_SABOTAGE_KILL="+string(Accepted)+":3")
	cmd.Stdin = &lines
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("the producer was not killed: %v\n%s", err, out)
	}
	if rec := s.record(s.accepted[2]); rec == nil || rec.State != storage.StateQueued {
		t.Fatalf("the third record stands as %s", brief(rec))
	}
	s.judge(nothing)
	s.judgeCalls(1)
}
