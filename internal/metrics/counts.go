package metrics

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
	"github.com/kycq/kycq/worker"
)

// counts are the counters and histograms of this process. They implement worker.Observer.
type counts struct {
	calls, attempts, reissues, finished *prometheus.CounterVec
	reviews, mismatches                 *prometheus.CounterVec
	holds, maskChecks                   *prometheus.CounterVec
	writes, conflicts                   *prometheus.CounterVec
	clockOffset                         *prometheus.GaugeVec
	callDuration, gateWait, jobAttempts *prometheus.HistogramVec
}

var _ worker.Observer = (*counts)(nil)

// Bucket bounds. The call timeout is 30 s by default. A live job waits for one slot (600 ms at 100/m), a bulk job for all
// jobs before it.
var (
	callSeconds = []float64{0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60}
	waitSeconds = []float64{0.05, 0.25, 0.6, 1.2, 3, 6, 15, 30, 60, 120, 300}
	attemptRuns = []float64{1, 2, 3, 4, 6, 10, 18}
)

func newCounts(registry prometheus.Registerer) *counts {
	create := promauto.With(registry)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return create.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, bounds []float64, labels ...string) *prometheus.HistogramVec {
		return create.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: bounds}, labels)
	}
	c := &counts{
		calls:      counter("kycq_vendor_calls_total", "finished calls to Cashfree, by class of the answer", "kind", "answer"),
		attempts:   counter("kycq_attempts_total", "requests recorded in S3 and sent to Cashfree", "kind"),
		reissues:   counter("kycq_reissues_total", "attempts that repeat a call whose answer was lost", "kind"),
		reviews:    counter("kycq_reviews_total", "finished jobs whose image a person should look at, by outcome", "outcome"),
		mismatches: counter("kycq_passport_mismatches_total", "valid passports that differ from the input, by field", "field"),
		finished:   counter("kycq_jobs_finished_total", "records that became final, by outcome and code", "kind", "outcome", "code"),
		holds:      counter("kycq_holds_total", "account holds raised by this worker", "code"),
		maskChecks: counter("kycq_mask_checks_total", "checked masked images, by result", "result"),
		writes:     counter("kycq_records_written_total", "records written to S3", "kind"),
		conflicts:  counter("kycq_record_conflicts_total", "record writes that lost against another writer", "kind"),

		clockOffset: create.NewGaugeVec(prometheus.GaugeOpts{
			Name: "kycq_clock_offset_seconds", Help: "how far the clock of this worker is ahead of the server's; over 20 from both, it takes no jobs",
		}, []string{"server"}),

		callDuration: histogram("kycq_vendor_call_duration_seconds", "time from the start of a call to the end of its answer, for answered calls", callSeconds, "kind"),
		gateWait:     histogram("kycq_gate_wait_seconds", "time a job waited for its slot, or until it was requeued", waitSeconds, "kind", "lane"),
		jobAttempts:  histogram("kycq_job_attempts", "counted attempts of a finished run", attemptRuns, "kind"),
	}
	c.init()
	return c
}

// init sets the known label combinations to zero: rate() misses the first event of a counter that appears at 1.
func (c *counts) init() {
	for _, kind := range tasks.Kinds() {
		k := string(kind)
		for _, class := range cashfree.Classes() {
			c.calls.WithLabelValues(k, string(class))
		}
		for _, outcome := range []storage.State{storage.StateValid, storage.StateInvalid, storage.StateFailed, storage.StateCancelled} {
			c.finished.WithLabelValues(k, string(outcome), "")
		}
		for _, lane := range tasks.Lanes() {
			c.gateWait.WithLabelValues(k, string(lane))
		}
		c.callDuration.WithLabelValues(k)
		c.jobAttempts.WithLabelValues(k)
		for _, v := range []*prometheus.CounterVec{c.attempts, c.reissues, c.writes, c.conflicts} {
			v.WithLabelValues(k)
		}
	}
	for _, outcome := range []storage.State{storage.StateValid, storage.StateFailed} {
		c.reviews.WithLabelValues(string(outcome))
	}
	for field := range mismatchesOf(&storage.PassportView{}) {
		c.mismatches.WithLabelValues(field)
	}
	for _, result := range maskResults {
		c.maskChecks.WithLabelValues(result)
	}
}

// WaitedAtGate implements worker.Observer.
func (c *counts) WaitedAtGate(kind tasks.Kind, lane tasks.Lane, took time.Duration) {
	c.gateWait.WithLabelValues(string(kind), string(lane)).Observe(took.Seconds())
}

// Sending implements worker.Observer.
func (c *counts) Sending(kind tasks.Kind, a storage.Attempt) {
	c.attempts.WithLabelValues(string(kind)).Inc()
	if a.Reissue {
		c.reissues.WithLabelValues(string(kind)).Inc()
	}
}

// Called implements worker.Observer.
func (c *counts) Called(kind tasks.Kind, class cashfree.Class, took time.Duration) {
	c.calls.WithLabelValues(string(kind), string(class)).Inc()
	if class.Answered() {
		c.callDuration.WithLabelValues(string(kind)).Observe(took.Seconds())
	}
}

func mismatchesOf(p *storage.PassportView) map[string]bool {
	m := p.Matches
	return map[string]bool{"name": m.Name == storage.MatchNo, "dob": m.DOB == storage.MatchNo, "file_number": m.FileNumber == storage.MatchNo}
}

// Finished implements worker.Observer.
func (c *counts) Finished(rec *storage.Record) {
	kind := string(rec.Kind)
	c.finished.WithLabelValues(kind, string(rec.State), advice.Listed(rec.Code)).Inc()
	if rec.NeedsReview() {
		c.reviews.WithLabelValues(string(rec.State)).Inc()
	}
	if rec.State == storage.StateValid && rec.Passport != nil {
		for field, differs := range mismatchesOf(rec.Passport) {
			if differs {
				c.mismatches.WithLabelValues(field).Inc()
			}
		}
	}
	n := 0
	for _, a := range rec.Attempts {
		if a.Run == rec.Run && a.Counted {
			n++
		}
	}
	if n > 0 {
		c.jobAttempts.WithLabelValues(kind).Observe(float64(n))
	}
}

// Held implements worker.Observer.
func (c *counts) Held(code string) { c.holds.WithLabelValues(advice.Listed(code)).Inc() }

// maskResults are the known results of a mask check.
var maskResults = []string{
	"safe", string(maskcheck.TooLarge), string(maskcheck.TooManyPixels), string(maskcheck.NotAnImage),
	string(maskcheck.Undecodable), string(maskcheck.SameBytes), string(maskcheck.Dimensions), string(maskcheck.VisibleQR),
	string(maskcheck.NothingMasked),
	string(maskcheck.NotComparable), string(maskcheck.SourceGone), string(maskcheck.TooBusy),
	worker.ReadableNumber, worker.DigitsUnread,
}

// MaskChecked implements worker.Observer.
func (c *counts) MaskChecked(result string) {
	if !slices.Contains(maskResults, result) {
		result = advice.Unlisted
	}
	c.maskChecks.WithLabelValues(result).Inc()
}

// RecordWritten implements worker.Observer.
func (c *counts) RecordWritten(kind tasks.Kind, conflict bool) {
	if conflict {
		c.conflicts.WithLabelValues(string(kind)).Inc()
		return
	}
	c.writes.WithLabelValues(string(kind)).Inc()
}

// ClockCompared sets how far this machine's clock is ahead of a server's, redis or s3.
func (c *counts) ClockCompared(server string, ahead time.Duration) {
	c.clockOffset.WithLabelValues(server).Set(ahead.Seconds())
}
