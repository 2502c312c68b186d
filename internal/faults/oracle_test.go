package faults

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kycq/kycq/internal/dev/simulator"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// tally is how the jobs of a scenario ended.
type tally struct {
	asWanted int // valid or invalid, as the vendor decides
	lost     int // failed with answer_lost: paid or not, nobody knows, and a person decides
	charges  int
	reissues int
}

func (n tally) String() string {
	return fmt.Sprintf("%d as wanted, %d answers lost, %d charges, %d reissues", n.asWanted, n.lost, n.charges, n.reissues)
}

// judge is the oracle. It waits until every accepted job has ended and its tail has run, and then reads the vendor's
// ledger, the records and their history, the images, Redis and the logs, and fails the test for every promise that is
// broken. A job may end for a person (answer_lost) only if it names a call whose answer could have been lost: see lost.
func (s *stack) judge(mayLose lost) tally {
	s.t.Helper()
	s.settle()
	var n tally
	book := s.readBook()
	for _, j := range s.jobs() {
		s.judgeJob(j, book, mayLose, &n)
	}
	for id, entries := range book.byID {
		if paid := count(entries, charged); paid > 0 {
			s.t.Errorf("%d charges for %s, which no record knows", paid, id.id)
		}
	}
	s.leaks.judge(s.t)
	s.t.Logf("%s: %s", s.t.Name(), n)
	return n
}

// lost tells whether the answer to a call, of which nothing is known, could have been lost by what the scenario did.
type lost func(storage.Attempt) bool

func nothing(storage.Attempt) bool  { return false }
func anything(storage.Attempt) bool { return true }

// outAt is for calls that had left, or were announced, before a moment.
func outAt(moment time.Time) lost {
	return func(at storage.Attempt) bool { return at.SentAt.Before(moment) }
}

// settle waits for the end of every job and its tail.
func (s *stack) settle() {
	s.t.Helper()
	set := redisx.NewOpenSet(s.redis)
	for deadline := time.Now().Add(patience()); ; tick(s.t, look) {
		open, sets := s.open(), int64(0)
		for _, kind := range tasks.Kinds() {
			n, err := set.Count(s.t.Context(), string(kind))
			if err != nil {
				n = 1
			}
			sets += n
		}
		if len(open) == 0 && sets == 0 {
			return
		}
		if time.Now().After(deadline) {
			for _, j := range open[:min(len(open), 5)] {
				s.t.Errorf("lost: %s %s stands as %s", j.kind, j.id, brief(s.record(j)))
			}
			s.t.Fatalf("%d jobs have not ended within %s, %d are in the open set", len(open), patience(), sets)
		}
	}
}

// brief is a record in a line.
func brief(rec *storage.Record) string {
	if rec == nil {
		return "no record"
	}
	return fmt.Sprintf("%s %s%s since %s, attempts %+v", rec.State, rec.Reason, rec.Code, rec.UpdatedAt.Format(time.TimeOnly), rec.Attempts)
}

// vendorID is an id as the vendor knows it.
type vendorID struct {
	kind tasks.Kind
	id   string
}

// book is the vendor's ledger by id. What is attributed to a job is taken out of it.
type book struct {
	byID map[vendorID][]simulator.Entry
}

func (s *stack) readBook() *book {
	b := &book{byID: map[vendorID][]simulator.Entry{}}
	for _, e := range s.ledger() {
		if e.VerificationID == "" {
			continue // refused before the body was read
		}
		kind := tasks.Passport
		if e.Endpoint == simulator.AadhaarMasking {
			kind = tasks.Aadhaar
		}
		id := vendorID{kind, e.VerificationID}
		b.byID[id] = append(b.byID[id], e)
	}
	return b
}

func charged(e simulator.Entry) bool { return e.Charged }

func (s *stack) judgeJob(j job, b *book, mayLose lost, n *tally) {
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
	history := s.witness.history(j)
	if last := history[len(history)-1].rec; last.WriteID != rec.WriteID {
		fail("the record in S3 is not the last one that was written")
	}
	s.judgeHistory(history, fail)

	entries := map[string][]simulator.Entry{}
	reissues := 0
	for _, at := range rec.Attempts {
		id := vendorID{j.kind, at.ProviderID}
		if found, ok := b.byID[id]; ok {
			entries[at.ProviderID] = found
			delete(b.byID, id)
		}
		if at.Reissue {
			reissues++
		}
	}
	charges := 0
	for id, calls := range entries {
		charges += count(calls, charged)
		judgeIntents(id, calls, history, fail)
	}
	n.charges += charges
	n.reissues += reissues
	if charges > 1+reissues {
		fail("%d charges with %d recorded reissues: %+v", charges, reissues, rec.Attempts)
	}
	switch {
	case rec.State == j.want:
		n.asWanted++
		if charges == 0 {
			fail("%s, although the vendor has not answered", rec.State)
		}
	case rec.State == storage.StateFailed && rec.Code == "answer_lost":
		n.lost++
		if !slices.ContainsFunc(rec.Attempts, func(at storage.Attempt) bool { return at.Result == "unknown" && mayLose(at) }) {
			fail("its answer is lost, although nothing was on its way when something broke: %s", brief(rec))
		}
	default:
		fail("ended %s %q after %+v, want %s", rec.State, rec.Code, rec.Attempts, j.want)
	}
	if j.kind == tasks.Aadhaar && rec.State == j.want {
		s.judgePictures(j, rec, fail)
	}
}

// judgeHistory checks what a record may never do: change its outcome.
func (s *stack) judgeHistory(history []write, fail func(string, ...any)) {
	s.t.Helper()
	var ended *storage.Record
	for i := range history {
		rec := &history[i].rec
		if ended != nil && rec.Run == ended.Run && (rec.State != ended.State || rec.Code != ended.Code) {
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

// judgeIntents checks that every request that reached the vendor was announced in the record before, and each one by a
// write of its own.
func judgeIntents(id string, calls []simulator.Entry, history []write, fail func(string, ...any)) {
	intents := map[time.Time]time.Time{} // when it was durable, by the attempt's time
	for _, w := range history {
		last := w.rec.LastAttempt()
		if w.rec.State == storage.StateSent && last != nil && last.ProviderID == id {
			intents[last.SentAt] = w.at
		}
	}
	if len(calls) > len(intents) {
		fail("%d requests left as %s, and %d were announced", len(calls), id, len(intents))
	}
	for _, call := range calls {
		before := 0
		for _, at := range intents {
			if at.Before(call.At) {
				before++
			}
		}
		if before == 0 {
			fail("the request of %s left before its intent was durable", call.At)
		}
	}
}

// judgePictures checks the masked image against its record, and that the unmasked upload is gone.
func (s *stack) judgePictures(j job, rec *storage.Record, fail func(string, ...any)) {
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
