package worker

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/kycq/kycq/storage"
)

// Policy is the configuration of the state machine. See WithDefaults for what zero means.
type Policy struct {
	// MaxAttempts is the number of counted attempts of a run. Default: 6.
	MaxAttempts int
	// RetryCodes are the HTTP statuses that are retried, in addition to 429. Default, if nil: 500 and 502.
	RetryCodes []int
	// RetryBase is the first backoff, RetryMax the longest. Default: 5 s and 10 min.
	RetryBase, RetryMax time.Duration
	// FailOnAccountError ends a job as failed if Cashfree refuses the account. By default the account is put on hold.
	FailOnAccountError bool
	// ReissueLostAnswers buys lost answers again, at most ReissuesPerDay for the whole fleet. By default the job ends as
	// failed, for an operator to decide.
	ReissueLostAnswers bool
	ReissuesPerDay     int
	// CallTimeout limits a call to Cashfree. Default: 30 s. It is written into each attempt, because it determines when
	// another worker may take over.
	CallTimeout time.Duration
	// QRCheck names the rule by which Parts.CheckMask judges QR codes, for the record. Default: visible.
	QRCheck string
}

// WithDefaults replaces zero values by defaults.
func (p Policy) WithDefaults() Policy {
	p.MaxAttempts = cmp.Or(p.MaxAttempts, 6)
	if p.RetryCodes == nil {
		p.RetryCodes = []int{500, 502}
	}
	p.RetryBase = cmp.Or(p.RetryBase, 5*time.Second)
	p.RetryMax = cmp.Or(p.RetryMax, 10*time.Minute)
	p.QRCheck = cmp.Or(p.QRCheck, "visible")
	p.CallTimeout = cmp.Or(p.CallTimeout, 30*time.Second)
	return p
}

// Validate returns an error for each field that is out of range.
func (p Policy) Validate() error {
	var errs []error
	if p.MaxAttempts < 1 {
		errs = append(errs, errors.New("max-attempts must be 1 or more"))
	}
	for _, code := range p.RetryCodes {
		if code < 500 || code > 599 {
			errs = append(errs, errors.New("retry-codes: only statuses from 500 to 599 can be retried"))
		}
	}
	if p.RetryBase <= 0 || p.RetryMax < p.RetryBase {
		errs = append(errs, errors.New("retry-base must be greater than zero and at most retry-max"))
	}
	if p.CallTimeout <= 0 {
		errs = append(errs, errors.New("the call timeout must be greater than zero"))
	}
	return errors.Join(errs...)
}

const (
	// An intent is sent while it is not older than twice the time of the last write of one, within these limits. It is in the
	// attempt, and a takeover relies on it.
	minSendWithin = 5 * time.Second
	maxSendWithin = 30 * time.Second
	// maxIntents is how often a delivery writes an intent until its request can leave.
	maxIntents = 4
	// sourceIdle is how long an open image may wait for its request.
	sourceIdle = 10 * time.Second
	// takeoverMargin allows for the write of the answer and for the precision of clocks.
	takeoverMargin = 10 * time.Second
	// minRemaining is the time that must remain before the task's deadline to acquire a permit.
	minRemaining = time.Minute
	// maxCrashes is the number of worker crashes after which a job fails.
	maxCrashes = 5
)

// Delays before the next delivery of a job that counted no attempt.
const (
	infraDelay       = 3 * time.Second  // S3 or Redis is unavailable; asynq looks each delayedPoll
	linkDelay        = 5 * time.Second  // the masked image cannot be fetched
	linkDelayMax     = 5 * time.Minute  // the same, after a while
	missingKeyDelay  = 5 * time.Minute  // the keyset lacks a key
	inputDelay       = time.Minute      // the image's bucket denies access
	previousRunDelay = 30 * time.Second // the previous run is not final
	callLimitDelay   = 30 * time.Second // the batch has reached its limit of calls
	batchPausedDelay = 10 * time.Second // the batch is paused; a resume delivers its rows at once
)

const (
	// linkPatience is how long the fetch from an image link is retried after the answer was written. How long links are
	// valid is unknown.
	linkPatience = 24 * time.Hour
	// A link is gone only when goneTries fetches over goneFor have found it gone: object stores and their proxies answer 403
	// or 404 for a while, too, until an object is everywhere.
	goneTries = 5
	goneFor   = 10 * time.Minute
	// linkSlowdown makes the delay between two fetches a tenth of the answer's age.
	linkSlowdown = 10
)

// takeoverAge is the age of a record in state sent from which on its last attempt cannot be in flight.
func takeoverAge(at storage.Attempt) time.Duration {
	return sendWithin(at) + time.Duration(at.TimeoutMS)*time.Millisecond + takeoverMargin
}

// sendWithin is the greatest age of the attempt at which its request is sent.
func sendWithin(at storage.Attempt) time.Duration {
	return cmp.Or(time.Duration(at.SendWithinMS)*time.Millisecond, minSendWithin)
}

// backoff returns the wait after attempt n: exponential from RetryBase up to RetryMax, the upper half of it random, so that
// jobs that failed together do not retry together.
func (p Policy) backoff(n int) time.Duration {
	d := p.RetryMax
	if shift := max(n-1, 0); shift < 32 && p.RetryBase<<shift > 0 && p.RetryBase<<shift < p.RetryMax {
		d = p.RetryBase << shift
	}
	return d/2 + rand.N(d/2+1) //nolint:gosec // jitter needs no secrecy
}
