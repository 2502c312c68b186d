package faults

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/kycq/kycq/internal/dev/simulator"
	"github.com/kycq/kycq/storage"
)

// call is a request that the vendor has received, with what is known about it apart from what the programs wrote into records.
type call struct {
	simulator.LedgerEntry
	// intent is the write of the record that announced it.
	intent write
	// worker made it. answered is when its log says that the answer has arrived, written when it wrote the record next; both
	// are zero if it did not.
	worker            *process
	answered, written time.Time
}

// lossRule reports whether the scenario may have cut the answer to a call.
type lossRule func(call) bool

func noLoss(call) bool { return false }

// cutBetween allows the loss of answers to calls that were announced while the connection to the vendor was cut. A busy vendor
// may read such a call later, when its caller has given up.
func cutBetween(from, to time.Time) lossRule {
	return func(c call) bool { return c.answered.IsZero() && c.At.After(from) && c.intent.at.Before(to) }
}

// writesWithin is the time in which a worker on a busy machine writes an answer into the record.
const writesWithin = 10 * time.Second

// stoppedWorker allows the loss of the answer to a call whose worker was killed or stopped in it, or before it had written the
// answer. The worker that wakes up may still have it.
func stoppedWorker(c call) bool {
	if c.worker == nil {
		return false
	}
	during := func(at time.Time) bool {
		return at.After(c.intent.at) && at.Sub(c.At) < writesWithin && (c.written.IsZero() || c.written.After(at))
	}
	if c.worker.killed() && during(c.worker.endedAt) {
		return true
	}
	return c.answered.IsZero() && slices.ContainsFunc(c.worker.stops, during)
}

// callOf finds the intent and the worker of a request: the last intent for its id that was durable before it.
func (s *stack) callOf(j job, e simulator.LedgerEntry, history []write, answers answerLog) call {
	c, next := call{LedgerEntry: e}, time.Now()
	for _, w := range history {
		if w.at.After(e.At) && w.by == c.intent.by && c.written.IsZero() {
			c.written = w.at
		}
		switch {
		case w.rec.State != storage.StateSent:
		case w.at.Before(e.At) && w.rec.LastAttempt().ProviderID == e.VerificationID:
			c.intent = w
		case w.at.After(e.At) && w.at.Before(next):
			next = w.at // the intent of the next call
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.workers {
		if w.name != c.intent.by {
			continue
		}
		c.worker = w
		for _, at := range answers[answerKey{w.name, string(j.kind), j.id}] {
			if at.After(e.At.Add(-time.Millisecond)) && at.Before(next) { // logs have milliseconds
				c.answered = at
			}
		}
	}
	return c
}

// answerLog is when the workers say that they have received answers with a result.
type answerLog map[answerKey][]time.Time

type answerKey struct{ worker, kind, job string }

func (s *stack) readAnswers() answerLog {
	answers := answerLog{}
	for _, w := range s.workers {
		for line := range strings.Lines(w.output()) {
			var e struct {
				Message, Kind, Job, Class string
				Time                      time.Time
			}
			if json.Unmarshal([]byte(line), &e) != nil || e.Message != "call" || e.Class != "valid" && e.Class != "invalid" {
				continue
			}
			key := answerKey{w.name, e.Kind, e.Job}
			answers[key] = append(answers[key], e.Time)
		}
	}
	return answers
}
