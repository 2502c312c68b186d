package faults

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kycq/kycq/internal/dev/simulator"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// tally counts the outcomes of the jobs of a scenario.
type tally struct {
	asDecided int // valid or invalid, as the vendor decides
	lost      int // failed with answer_lost: it is unknown whether the call was charged
	charges   int
	reissues  int
}

func (n tally) String() string {
	return fmt.Sprintf("%d as the vendor decided, %d answers lost, %d charges, %d reissues", n.asDecided, n.lost, n.charges, n.reissues)
}

// verify is the oracle. It waits until every accepted job is finished and its tail has run. Then it reads the vendor's ledger,
// the records and their history, the images, Redis and the logs, and fails the test for every broken promise. The answer to a
// call may be lost only if mayLose allows it.
func (s *stack) verify(mayLose lossRule) tally {
	s.t.Helper()
	s.waitUntilDone()
	var n tally
	calls, answers := s.callsByID(), s.readAnswers()
	for _, j := range s.jobs() {
		s.verifyJob(j, calls, answers, mayLose, &n)
	}
	for id, entries := range calls {
		if paid := count(entries, charged); paid > 0 {
			s.t.Errorf("%d charges for %s, which no record mentions", paid, id.id)
		}
	}
	s.verifyOwed()
	s.verifyPauses()
	s.parked.verify(s.t)
	s.leaks.verify(s.t)
	s.t.Logf("%s: %s", s.t.Name(), n)
	return n
}

// subscribe registers a webhook endpoint, to which nothing is delivered.
func (s *stack) subscribe() {
	s.t.Helper()
	s.subscribed = "app1"
	check(s.t, s.store.SetSubscribers(s.t.Context(), []storage.Subscriber{{Name: s.subscribed}}))
}

// verifyOwed checks that the endpoint, if there is one, is owed the events of each job.
func (s *stack) verifyOwed() {
	s.t.Helper()
	if s.subscribed == "" {
		return
	}
	owed := map[string]bool{}
	for e, err := range s.store.Owed(s.t.Context(), s.subscribed) {
		check(s.t, err)
		owed[e.Key(s.subscribed)] = true
	}
	for _, j := range s.jobs() {
		rec, _, err := s.store.Record(s.t.Context(), j.kind, j.id)
		check(s.t, err)
		for _, e := range storage.EventsOf(rec) {
			if !owed[e.Key(s.subscribed)] {
				s.t.Errorf("%s %s: %s is not owed to the webhook endpoint", j.kind, j.id, e.Name)
			}
		}
	}
}

// waitUntilDone waits until every job is finished and its tail has run.
func (s *stack) waitUntilDone() {
	s.t.Helper()
	for deadline := time.Now().Add(timeout()); ; pause(s.t, pollInterval) {
		open, markers := s.unfinished(), 0
		for _, kind := range tasks.Kinds() {
			for _, err := range s.store.OpenRuns(s.t.Context(), kind) {
				_ = err // counts as a marker
				markers++
			}
		}
		if len(open) == 0 && markers == 0 {
			return
		}
		if time.Now().After(deadline) {
			for _, j := range open[:min(len(open), 5)] {
				s.t.Errorf("unfinished: %s %s: %s", j.kind, j.id, brief(s.record(j)))
			}
			s.parked.verify(s.t)
			s.t.Fatalf("%d jobs are unfinished after %s, %d have a marker", len(open), timeout(), markers)
		}
	}
}

// brief describes a record in one line.
func brief(rec *storage.Record) string {
	if rec == nil {
		return "no record"
	}
	return fmt.Sprintf("%s %s%s since %s, attempts %+v", rec.State, rec.Reason, rec.Code, rec.UpdatedAt.Format(time.TimeOnly), rec.Attempts)
}

// vendorID is an id that the vendor has received.
type vendorID struct {
	kind tasks.Kind
	id   string
}

// callsByID groups the vendor's ledger.
func (s *stack) callsByID() map[vendorID][]simulator.LedgerEntry {
	calls := map[vendorID][]simulator.LedgerEntry{}
	for _, e := range s.ledger() {
		if e.VerificationID == "" {
			continue // refused before its body was read
		}
		kind := tasks.Passport
		if e.Endpoint == simulator.AadhaarMasking {
			kind = tasks.Aadhaar
		}
		id := vendorID{kind, e.VerificationID}
		calls[id] = append(calls[id], e)
	}
	return calls
}

func charged(e simulator.LedgerEntry) bool { return e.Charged }

// unseenFailure reports whether the vendor failed a call whose answer did not arrive in time. The call may have consumed the id:
// the next one is told that it exists already, and the worker cannot know that nothing was charged.
func unseenFailure(rec *storage.Record, entries map[string][]simulator.LedgerEntry) bool {
	return slices.ContainsFunc(rec.Attempts, func(at storage.Attempt) bool {
		return at.Result == storage.ResultUnknown && slices.ContainsFunc(entries[at.ProviderID],
			func(e simulator.LedgerEntry) bool { return e.TookID && !e.Charged })
	})
}

// verifyJob checks one job, and removes its calls from calls.
func (s *stack) verifyJob(j job, calls map[vendorID][]simulator.LedgerEntry, answers answerLog, mayLose lossRule, n *tally) {
	s.t.Helper()
	fail := func(format string, args ...any) {
		s.t.Helper()
		s.t.Errorf("%s %s: %s", j.kind, j.id, fmt.Sprintf(format, args...))
	}
	rec, _, err := s.store.Record(s.t.Context(), j.kind, j.id)
	if err != nil {
		fail("no record: %v", err)
		return
	}
	history := s.recorder.history(j)
	if last := history[len(history)-1].rec; last.WriteID != rec.WriteID {
		fail("the record in S3 is not the one that was written last")
	}
	s.verifyHistory(history, fail)
	verifyDelays(history, fail)

	entries := map[string][]simulator.LedgerEntry{}
	reissued := map[string]bool{}
	for _, at := range rec.Attempts {
		id := vendorID{j.kind, at.ProviderID}
		if found, ok := calls[id]; ok {
			entries[at.ProviderID] = found
			delete(calls, id)
		}
		if at.Reissue {
			reissued[at.ProviderID] = true
		}
	}
	charges, lost := 0, 0
	for id, found := range entries {
		charges += count(found, charged)
		verifyIntents(id, found, history, fail)
		for _, e := range found {
			if e.Charged && !holds(rec, e.ReferenceID) {
				lost++
				if c := s.callOf(j, e, history, answers); !mayLose(c) {
					fail("the answer of %s (%s) was bought and is gone, although nothing cut it (answered %s): %s",
						e.At, id, c.answered.Format(time.TimeOnly), brief(rec))
				}
			}
		}
	}
	n.charges += charges
	n.reissues += len(reissued)
	if charges > 1+len(reissued) || len(reissued) > lost {
		fail("%d charges, %d lost answers and %d reissued ids: %+v", charges, lost, len(reissued), rec.Attempts)
	}
	switch {
	case rec.State == j.want:
		n.asDecided++
		if charges == 0 {
			fail("%s, although the vendor charged nothing", rec.State)
		}
	case rec.State == storage.StateFailed && rec.Code == "answer_lost":
		n.lost++
		if lost == 0 && !unseenFailure(rec, entries) {
			fail("it says that an answer is lost, but the vendor has charged none that the record lacks: %s", brief(rec))
		}
	default:
		fail("ended as %s %q after %+v, want %s", rec.State, rec.Code, rec.Attempts, j.want)
	}
	if j.kind == tasks.Aadhaar && rec.State == j.want {
		s.verifyImages(j, rec, fail)
	}
}

// holds reports whether the record has the result of that number, of this or an earlier run.
func holds(rec *storage.Record, reference int64) bool {
	return rec.ReferenceID == reference ||
		slices.ContainsFunc(rec.Earlier, func(e storage.EarlierRun) bool { return e.ReferenceID == reference })
}

// verifyHistory checks that a final record keeps its outcome, and that no result disappears from a record. Only a lost answer
// may be replaced, by the answer itself.
func (s *stack) verifyHistory(history []write, fail func(string, ...any)) {
	s.t.Helper()
	var ended *storage.Record
	last := &history[len(history)-1].rec
	for i := range history {
		rec := &history[i].rec
		if rec.ReferenceID != 0 && !holds(last, rec.ReferenceID) {
			fail("result %d was in the record and is gone: %s", rec.ReferenceID, brief(last))
		}
		found := ended != nil && ended.Code == "answer_lost" &&
			(rec.State == storage.StateAnswered || rec.State == storage.StateValid || rec.State == storage.StateInvalid)
		if ended != nil && !found && rec.Run == ended.Run && (rec.State != ended.State || rec.Code != ended.Code) {
			fail("ended twice: %s %q, then %s %q", ended.State, ended.Code, rec.State, rec.Code)
		}
		if ended != nil && rec.Run < ended.Run {
			fail("run %d was overwritten by run %d", ended.Run, rec.Run)
		}
		if rec.State.Final() {
			ended = rec
		}
	}
}

// verifyIntents checks that every request that reached the vendor was announced in the record before, each by a write of its
// own.
func verifyIntents(id string, calls []simulator.LedgerEntry, history []write, fail func(string, ...any)) {
	intents := map[time.Time]time.Time{} // when it was stored, by the time of the attempt
	for _, w := range history {
		last := w.rec.LastAttempt()
		if w.rec.State == storage.StateSent && last != nil && last.ProviderID == id {
			intents[last.SentAt] = w.at
		}
	}
	if len(calls) > len(intents) {
		fail("%d requests were sent as %s, %d were announced", len(calls), id, len(intents))
	}
	for _, call := range calls {
		before := 0
		for _, at := range intents {
			if at.Before(call.At) {
				before++
			}
		}
		if before == 0 {
			fail("the request of %s was sent before its intent was durable", call.At)
		}
	}
}

// verifyImages checks the masked image against its record, and that the unmasked upload is deleted.
func (s *stack) verifyImages(j job, rec *storage.Record, fail func(string, ...any)) {
	s.t.Helper()
	if _, _, err := s.store.ImageHead(s.t.Context(), *j.upload, 1); !errors.Is(err, storage.ErrNotFound) {
		fail("the unmasked upload is still there: %v", err)
	}
	if rec.State != storage.StateValid {
		return
	}
	if rec.MaskedImage == nil {
		fail("valid without a masked image")
		return
	}
	body, err := s.store.Masked(s.t.Context(), rec.MaskedImage.Key)
	if err != nil {
		fail("the masked image: %v", err)
		return
	}
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != rec.MaskedImage.SHA256 || int64(len(body)) != rec.MaskedImage.Bytes {
		fail("the masked image is not the one that the record names")
	}
}
