package worker

import (
	"errors"
	"math/rand/v2"
	"time"
)

// Policy holds the choices of whoever runs the workers.
type Policy struct {
	// MaxAttempts is how many counted attempts a run of a job gets, 1 or more; 6 where zero.
	MaxAttempts int
	// RetryCodes are the HTTP statuses that are retried beside 429; 500 and 502 where nil.
	RetryCodes []int
	// RetryBase is the first backoff (5 s where zero), RetryMax the longest (10 min where zero).
	RetryBase, RetryMax time.Duration
	// FailOnAccountError ends jobs with the vendor's refusal of the account instead of holding the fleet.
	FailOnAccountError bool
	// ReissueLostAnswers buys a lost answer again at once, at most ReissuesPerDay over the fleet, instead of leaving it to
	// a person.
	ReissueLostAnswers bool
	ReissuesPerDay     int
	// CallTimeout is the longest a call to Cashfree takes; 30 s where zero. It is written into each attempt, because
	// another worker must know how long to wait before it takes over.
	CallTimeout time.Duration
}

// WithDefaults fills what is zero.
func (p Policy) WithDefaults() Policy {
	if p.MaxAttempts == 0 {
		p.MaxAttempts = 6
	}
	if p.RetryCodes == nil {
		p.RetryCodes = []int{500, 502}
	}
	if p.RetryBase == 0 {
		p.RetryBase = 5 * time.Second
	}
	if p.RetryMax == 0 {
		p.RetryMax = 10 * time.Minute
	}
	if p.CallTimeout == 0 {
		p.CallTimeout = 30 * time.Second
	}
	return p
}

// Validate reports every field out of range at once.
func (p Policy) Validate() error {
	var errs []error
	if p.MaxAttempts < 1 {
		errs = append(errs, errors.New("max-attempts must be 1 or more"))
	}
	for _, code := range p.RetryCodes {
		if code < 500 || code > 599 {
			errs = append(errs, errors.New("retry-codes may hold only statuses from 500 to 599: others are the vendor's last word"))
		}
	}
	if p.RetryBase <= 0 || p.RetryMax < p.RetryBase {
		errs = append(errs, errors.New("retry-base must be over zero and at most retry-max"))
	}
	if p.CallTimeout <= 0 {
		errs = append(errs, errors.New("the call timeout must be over zero"))
	}
	return errors.Join(errs...)
}

const (
	// sendWithin is how old the intent may be when the request leaves; older, and it is written again. A worker that
	// finds a sent record relies on it to know that no request can leave any more.
	sendWithin = 5 * time.Second
	// takeoverMargin covers the clocks and the answer's own write.
	takeoverMargin = 10 * time.Second
	// minRemaining is what must be left of a task's context at the gate's door.
	minRemaining = time.Minute
	// maxCrashes is how often a job may be found to have taken its worker down with it.
	maxCrashes = 5
)

// Delays of jobs that come back without having spent anything.
const (
	infraDelay      = 5 * time.Second  // S3 or Redis does not answer
	linkDelay       = 5 * time.Second  // the masked image cannot be fetched for now: at first
	linkDelayMax    = 5 * time.Minute  // and when that has lasted
	missingKeyDelay = 5 * time.Minute  // the keyset lacks the key
	inputDelay      = time.Minute      // the image cannot be reached
	earlierRunDelay = 30 * time.Second // an earlier run is not final
	cappedDelay     = 30 * time.Second // the batch may make no more calls
)

const (
	// linkPatience is how long an image link is tried, from the moment when the answer was written. How long links live is
	// not known; a job must come to an end.
	linkPatience = 24 * time.Hour
	// linkSlowdown makes the tries rarer with the answer's age: at most by a tenth of it later than need be.
	linkSlowdown = 10
)

// takeoverAge is when the outcome of a sent record without an answer counts as unknown.
func takeoverAge(callTimeout time.Duration) time.Duration {
	return sendWithin + callTimeout + takeoverMargin
}

// backoff is the wait before attempt n+1: exponential from RetryBase, at most RetryMax, the upper half of it random so
// that jobs that failed together do not come back together.
func (p Policy) backoff(n int) time.Duration {
	d := p.RetryMax
	if shift := max(n-1, 0); shift < 32 && p.RetryBase<<shift > 0 && p.RetryBase<<shift < p.RetryMax {
		d = p.RetryBase << shift
	}
	return d/2 + rand.N(d/2+1) //nolint:gosec // jitter needs no secrecy
}
