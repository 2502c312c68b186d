package faults

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
	"github.com/kycq/kycq/tasks"
)

// killPoint is a moment of a job at which a process is killed from outside: the nth request to S3 or Redis that matches
// is held until the process is dead.
type killPoint struct {
	name string
	nth  int64
	// Exactly one of the two is set.
	s3    func(*http.Request) bool
	redis func(command []string) bool
	// executed is whether S3 executes the request first, so that only its reply is lost. A Redis command is never executed.
	executed bool
}

// killPoints are the steps of a worker, in the order in which a job passes them.
var killPoints = []killPoint{
	// The image's head has been read, nothing is written. (The record is not read: see worker.claimUnread.)
	{name: "claimed", nth: 2, s3: requests(http.MethodGet, "/single/"), executed: true},
	// The input has been checked, no slot is taken. Every command to the gate after the first may be a report.
	{name: "input-checked", nth: 1, redis: takesSlot},
	// A slot is taken, the record does not say sent yet.
	{name: "gate-passed", nth: 2, s3: writesState(storage.StateSent)},
	// The intent is durable, nothing is sent to the vendor.
	{name: "sent-written", nth: 2, s3: writesState(storage.StateSent), executed: true},
	// The vendor has answered, the answer is in memory only.
	{name: "answered", nth: 2, s3: writesAnswer},
	// The answer is in the record.
	{name: "answer-kept", nth: 2, s3: writesAnswer, executed: true},
	// The masked image is stored, the record is not final.
	{name: "masked-stored", nth: 2, s3: requests(http.MethodPut, "/masked/"), executed: true},
	// The record is final, its tail has not run.
	{name: "final-written", nth: 2, s3: writesFinal, executed: true},
	// The tail has run, asynq's acknowledgement is missing.
	{name: "tail-done", nth: 2, redis: acknowledges},
}

// producerKill is a step of a producer: the record of its job is durable, the task is not in Redis yet.
var producerKill = killPoint{name: "accepted", nth: 1, s3: writesState(storage.StateQueued), executed: true}

// writesAnswer matches the first write of a record after the vendor's answer.
func writesAnswer(r *http.Request) bool {
	return matchesRecord(r, func(rec *storage.Record) bool {
		switch rec.State {
		case storage.StateAnswered:
			return true
		case storage.StateValid:
			return rec.Kind == tasks.Passport && rec.UploadDeletedAt.IsZero()
		}
		return rec.State == storage.StateInvalid && rec.UploadDeletedAt.IsZero()
	})
}

// writesFinal matches the write that makes a record final; a later one notes that the upload is deleted.
func writesFinal(r *http.Request) bool {
	return matchesRecord(r, func(rec *storage.Record) bool { return rec.State.Final() && rec.UploadDeletedAt.IsZero() })
}

// takesSlot matches the gate's scripts.
func takesSlot(command []string) bool {
	return isScript(command) && slices.ContainsFunc(command, func(arg string) bool {
		return strings.HasPrefix(arg, "kycq:{") && strings.Contains(arg, "gate") && (strings.Contains(arg, "passport") || strings.Contains(arg, "aadhaar"))
	})
}

// acknowledges matches the script by which asynq marks a task as done: it counts the task as processed.
func acknowledges(command []string) bool {
	return isScript(command) && slices.ContainsFunc(command, func(arg string) bool {
		return strings.HasPrefix(arg, "asynq:{") && strings.Contains(arg, "}:processed:")
	})
}

func isScript(command []string) bool { return strings.HasPrefix(strings.ToLower(command[0]), "eval") }

// trap kills its victim at a kill point.
type trap struct {
	killPoint
	hits   atomic.Int64
	victim chan *process
}

func newTrap(at killPoint) *trap { return &trap{killPoint: at, victim: make(chan *process, 1)} }

// request is the trap in front of S3.
func (tr *trap) request(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if tr.s3 == nil || !tr.s3(r) || tr.hits.Add(1) != tr.nth {
		next.ServeHTTP(w, r)
		return
	}
	if tr.executed {
		next.ServeHTTP(discard{http.Header{}}, r)
	}
	(<-tr.victim).kill()
	storagetest.Drop()
}

// command is the trap in front of Redis. It returns false if the command is not to be executed.
func (tr *trap) command(command []string) bool {
	if tr.redis == nil || !tr.redis(command) || tr.hits.Add(1) != tr.nth {
		return true
	}
	(<-tr.victim).kill()
	return false
}

// wait names the process to kill and returns once it is dead.
func (tr *trap) wait(t testing.TB, victim *process) {
	t.Helper()
	tr.victim <- victim
	until(t, "the process is killed at "+tr.name, func() bool { return !victim.running() })
	if !victim.killed() {
		t.Fatalf("the process was not killed at %s, it ended: %v\n%s", tr.name, victim.cmd.ProcessState, victim.output())
	}
}

// skipReconcile notes that all records have their markers, as a first worker does after it has read all records. Until then,
// a worker reads records that it does not work on.
func (s *stack) skipReconcile() {
	s.t.Helper()
	check(s.t, s.store.SetMarkersComplete(s.t.Context()))
}
