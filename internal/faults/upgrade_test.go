package faults

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/dev/simulator"
	"github.com/kycq/kycq/tasks"
)

const (
	// firstForms is the last commit whose records and payloads all have version 1.
	firstForms = "64deeb30855455a70ee5e40246ebf7e9b89d909a"
	// sideBySide is the first release whose workers may run beside those of later ones. KYCQ_UPGRADE_FROM names another revision.
	sideBySide = "v0.1.0"
)

// TestUpgradeInterrupted kills a worker of version 1 in the middle of a batch and of single jobs, and starts one of this
// version on its open records and tasks.
func TestUpgradeInterrupted(t *testing.T) {
	t.Parallel()
	old := buildRevision(t, firstForms)
	s := newStack(t, atRate("4/s"), withLatency(200*time.Millisecond))
	next := s.program
	s.program = old
	batch := s.submitBatch(30)
	s.enqueueByCommand(20)
	w := s.startWorker()
	until(t, "calls are made for batch and single jobs", func() bool { return s.charges() >= 12 && s.called("B-") && s.called("F-") })
	w.kill()
	open := s.unfinished()
	for _, j := range s.jobs() {
		if rec := s.record(j); rec != nil && rec.Version != 1 {
			t.Errorf("%s has a record of version %d", j.id, rec.Version)
		}
	}
	n := s.firstPayloads()
	if t.Logf("%d open jobs and %d tasks of version 1", len(open), n); len(open) < 20 || n == 0 {
		t.Fatal("too few for this test")
	}
	s.program = next
	s.startWorker()
	s.verify(stoppedWorker)
	s.verifyCalls(2) // again under the same id if the first call's answer was cut
	until(t, "the batch has ended", func() bool { return s.batchStatus(batch).Done })
	if n := s.firstPayloads(); n > 0 {
		t.Errorf("%d tasks of version 1 are left", n)
	}
}

// TestUpgradeDrained lets version 1 finish all jobs. This version calls for none of them again, also if they are submitted again.
func TestUpgradeDrained(t *testing.T) {
	t.Parallel()
	old := buildRevision(t, firstForms)
	s := newStack(t)
	next := s.program
	s.program = old
	batch := s.submitBatch(20)
	passports := s.enqueueByCommand(12)
	w := s.startWorker()
	until(t, "all jobs are finished", func() bool { return len(s.unfinished()) == 0 })
	w.terminate()
	s.program = next
	accepted := s.jobs()
	s.startWorker()
	if again := s.submitBatch(20); again != batch {
		t.Errorf("the batch %s is now %s", batch, again)
	}
	s.accepted = accepted // the same jobs
	s.mustRun(passports, "enqueue", "passport", "-")
	s.enqueue(12)
	s.verify(noLoss)
	s.verifyCalls(1)
	s.verifyBatchEnded(batch, 20)
}

// TestUpgradeSideBySide has a worker of the earlier release and one of this version share jobs of both, in both orders of
// restart: an upgrade one by one, and a roll-back.
func TestUpgradeSideBySide(t *testing.T) {
	t.Parallel()
	from := sideBySide
	if other := os.Getenv("KYCQ_UPGRADE_FROM"); other != "" {
		from = other
	}
	old := buildRevision(t, from)
	for _, back := range []bool{false, true} {
		t.Run(fmt.Sprintf("back=%t", back), func(t *testing.T) {
			t.Parallel()
			s := newStack(t, atRate("4/s"), withLatency(200*time.Millisecond))
			before, after := old, s.program
			if back {
				before, after = after, before
			}
			s.program = before
			batch := s.submitBatch(20)
			s.enqueueByCommand(12)
			first := s.startWorker()
			until(t, "the first worker calls", func() bool { return s.charges() > 3 })
			s.program = after
			s.startWorker()
			s.enqueueByCommand(12)
			until(t, "both work", func() bool { return s.charges() > 12 })
			first.terminate()
			s.verify(noLoss)
			s.verifyCalls(1)
			s.verifyBatchEnded(batch, 20)
		})
	}
}

// buildRevision builds the kycq of another commit from the history of this checkout, or skips the test.
func buildRevision(t *testing.T, rev string) string {
	t.Helper()
	if os.Getenv("KYCQ_UPGRADE") == "" {
		t.Skip("builds an earlier kycq: run make test-all, or set KYCQ_UPGRADE=1")
	}
	git := func(args ...string) *exec.Cmd {
		return exec.CommandContext(t.Context(), "git", append([]string{"-c", "safe.directory=*", "-C", "../.."}, args...)...)
	}
	if git("cat-file", "-e", rev+"^{commit}").Run() != nil {
		t.Skipf("NOT TESTED: this checkout has no %s: git fetch --tags --unshallow, if there is such a release", rev)
	}
	dir := filepath.Join(t.TempDir(), "src")
	check(t, os.Mkdir(dir, 0o700))
	archive, path := filepath.Join(dir, "src.tar"), filepath.Join(dir, "kycq")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", path, "./cmd/kycq")
	build.Dir = dir
	for _, cmd := range []*exec.Cmd{git("archive", "-o", archive, rev), exec.CommandContext(t.Context(), "tar", "-xf", archive, "-C", dir), build} {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", rev, err, out)
		}
	}
	return path
}

// enqueueByCommand submits n live jobs of alternating kinds with the program's commands. It returns the lines of the passports.
func (s *stack) enqueueByCommand(n int) string {
	s.t.Helper()
	var lines strings.Builder
	path := filepath.Join(s.dir, "card.jpg")
	check(s.t, os.WriteFile(path, card(), 0o600))
	for i := range n {
		j := s.nextJob(tasks.Kinds()[i%2], false)
		if j.kind == tasks.Passport {
			check(s.t, json.NewEncoder(&lines).Encode(map[string]string{
				"verification_id": j.id, "file_number": canaryNumber + j.id[2:] + "7", "dob": canaryDOB, "name": canaryName,
			}))
		} else {
			j.upload = s.task(j, tasks.Live).Input.Image // the command uploads it to the same place
			s.mustRun("", "enqueue", "aadhaar", "--id", j.id, "--image", path)
		}
		s.mu.Lock()
		s.accepted = append(s.accepted, j)
		s.mu.Unlock()
	}
	s.mustRun(lines.String(), "enqueue", "passport", "-")
	return lines.String()
}

func (s *stack) mustRun(stdin string, args ...string) {
	s.t.Helper()
	if out, stderr, code := s.run(stdin, args...); code != 0 {
		s.t.Fatalf("%v: exit code %d\n%s%s", args, code, out, stderr)
	}
}

// called reports whether the vendor was called with an id that begins so.
func (s *stack) called(prefix string) bool {
	return count(s.ledger(), func(e simulator.LedgerEntry) bool { return strings.HasPrefix(e.VerificationID, prefix) }) > 0
}

// firstPayloads counts the tasks of version 1 that are to be processed.
func (s *stack) firstPayloads() (n int) {
	s.t.Helper()
	for _, key := range s.redis.Keys(s.t.Context(), "asynq:*:t:*").Val() {
		task := s.redis.HMGet(s.t.Context(), key, "msg", "state").Val()
		if strings.Contains(fmt.Sprint(task[0]), `"version":1,`) && task[1] != "completed" {
			n++
		}
	}
	return n
}
