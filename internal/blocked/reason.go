// Package blocked says why jobs do not go on: the cause, since when, and what to do. Every command that shows progress prints
// the same line.
//
// It only reads. A job that waits for its slot, or for a moment, is not blocked.
package blocked

import (
	"fmt"
	"strings"
	"time"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/asynqx"
	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/redisx"
)

// The causes.
const (
	Hold        = "hold"
	Pause       = "pause"
	QueuePaused = "queue_paused" // on the dashboard
	Restoring   = "restoring"    // Redis is new or has lost data
	NoWorker    = "no_worker"
	Breaker     = "breaker"
	RateLimited = "rate_limited" // a 429
	Retry       = "retry"        // the code says why
	CallLimit   = "call_limit"
	BatchPause  = "batch_pause" // by an operator
	Images      = "images"      // paid images cannot be fetched
	KeyMissing  = "key_missing"
	RedisFull   = "redis_full"
	Unreachable = "unreachable" // Redis
)

// Reason is why jobs do not go on.
type Reason struct {
	Cause      string    `json:"cause"`
	Code       string    `json:"code,omitempty"` // of internal/advice, or Cashfree's
	Message    string    `json:"message"`
	Since      time.Time `json:"since,omitzero"`
	Until      time.Time `json:"until,omitzero"` // when the jobs go on, or are tried again, by themselves
	NextAction string    `json:"next_action"`
	Also       []string  `json:"also,omitempty"` // the messages of further causes
}

// Line is one line for people, with "blocked: " before it.
func (r *Reason) Line() string { return "blocked: " + r.String() }

// String is the reason, its times, and what to do, without a period at the end.
func (r *Reason) String() string {
	text := r.Message
	var times []string
	if !r.Since.IsZero() {
		times = append(times, fmt.Sprintf("since %s, for %s", stamp(r.Since), brief(time.Since(r.Since))))
	}
	if !r.Until.IsZero() {
		word := "until "
		if r.Cause == Retry || r.Cause == Images || r.Cause == KeyMissing {
			word = "next try at "
		}
		times = append(times, word+stamp(r.Until))
	}
	if len(times) > 0 {
		text += " (" + strings.Join(times, "; ") + ")"
	}
	text += ". Next: " + r.NextAction
	if len(r.Also) > 0 {
		text += ". Also: " + strings.Join(r.Also, "; ")
	}
	return text
}

func stamp(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05Z") }

// brief rounds a duration down: a line with it changes each minute, not each second.
func brief(d time.Duration) string {
	if d < time.Minute {
		return "under 1m"
	}
	return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
}

// first returns the first of the reasons, with the messages of the others; nil if there is none.
func first(all []*Reason) *Reason {
	if len(all) == 0 {
		return nil
	}
	for _, r := range all[1:] {
		all[0].Also = append(all[0].Also, r.Message)
	}
	return all[0]
}

// NoRedis returns the reason while Redis cannot be reached: nothing more is known then.
func NoRedis() *Reason {
	return &Reason{Cause: Unreachable, Message: "Redis cannot be reached", NextAction: "check the Redis server, and run `kycq doctor`"}
}

func held(h hold.Hold) *Reason {
	r := &Reason{Cause: Hold, Code: h.Code, Message: "on hold", Since: h.Since.UTC(), NextAction: h.NextAction}
	if h.Cause == hold.Operator {
		r.Cause, r.Message = Pause, "paused"
		if h.By != "" {
			r.Message += " by " + h.By
		}
	}
	if h.Kind != "" {
		r.Message += ", " + h.Kind + " only"
	}
	r.Message += ": " + h.Reason
	if h.Probing {
		r.NextAction = "none: it was resumed, and the next call is the test call"
	}
	return r
}

func queuePaused(queue string) *Reason {
	return &Reason{Cause: QueuePaused, Message: "the queue " + queue + " is paused on the dashboard", NextAction: "resume it on the dashboard"}
}

func restoring() *Reason {
	text := advice.For("restoring")
	return &Reason{Cause: Restoring, Code: "restoring", Message: text.Message, NextAction: text.NextAction}
}

// OfWorkers returns the reason if none of the workers, as listed by redisx.Workers, is alive; else nil.
func OfWorkers(workers []redisx.Worker) *Reason {
	r := &Reason{Cause: NoWorker, Message: "no worker is alive, and none was seen in the last week", NextAction: "start one with `kycq worker`"}
	if len(workers) == 0 {
		return r
	}
	w := workers[0]
	if w.Alive() {
		return nil
	}
	how := "crashed or lost Redis"
	if w.Stopped {
		how = "was stopped"
	}
	r.Message = fmt.Sprintf("no worker is alive: the last, on %s (pid %d), %s", w.Host, w.PID, how)
	r.Since = time.Now().Add(-w.SeenAgo).UTC().Truncate(time.Second)
	return r
}

// shortSilence is the longest silence after a 429 that is not reported.
const shortSilence = time.Second

// closed says why the gate gives no slots, apart from holds.
func closed(now time.Time, k gate.KindStatus) (all []*Reason) {
	until := func(d time.Duration) time.Time { return now.Add(d).UTC().Truncate(time.Second) }
	switch {
	case k.BreakerFor > 0:
		all = append(all, &Reason{
			Cause: Breaker, Code: "breaker", Message: fmt.Sprintf("Cashfree fails the calls of %s, so the circuit breaker is open", k.Kind),
			Until: until(k.BreakerFor), NextAction: "none: kycq then makes a trial call",
		})
	case k.Breaker == gate.BreakerProbing:
		all = append(all, &Reason{
			Cause: Breaker, Code: "probing", Message: fmt.Sprintf("Cashfree failed the calls of %s, and the circuit breaker is half-open", k.Kind),
			NextAction: "none: a trial call decides",
		})
	}
	if k.StoppedFor > shortSilence {
		all = append(all, &Reason{
			Cause: RateLimited, Code: "rate_limited", Message: "Cashfree's rate limit was reached (429)", Since: k.LastLimited,
			Until:      until(k.StoppedFor),
			NextAction: "none: kycq continues by itself; if it repeats, another program uses the same account, or the rate is too high (`kycq fleet rate`)",
		})
	}
	return all
}

// delayed returns the reason of jobs that are delayed like d. who begins its message: "the job waits".
func delayed(d asynqx.Delayed, who string) *Reason {
	r := &Reason{Cause: Retry, Since: d.Since, Until: d.Next}
	text := advice.For(d.Code)
	if advice.Known(d.Code) {
		r.Code = d.Code
	}
	if d.Decision == "retry" || text.NextAction == advice.Later { // a task may also return early
		text.NextAction = advice.Retrying
	}
	switch d.Code {
	case "image_not_fetched", "image_link_refused":
		r.Cause = Images
		text.NextAction += "; the image is paid for, and kycq fetches it again by itself"
	case KeyMissing:
		r.Cause = KeyMissing
	case "held", "probing", "breaker", "restoring", "batch_paused": // the cause has ended since
		text = advice.Text{Message: "returned to the queue while calls were stopped", NextAction: advice.Retrying}
	}
	if r.Code == "" {
		text = advice.Text{Message: "returned to the queue", NextAction: advice.Retrying}
	}
	r.Message, r.NextAction = who+": "+text.Message, text.NextAction
	return r
}

func batchPaused(id string, p *batch.Pause) *Reason {
	r := &Reason{Cause: BatchPause, Code: "batch_paused", Message: "the batch is paused", NextAction: fmt.Sprintf("run `kycq batch resume %s`", id)}
	if p != nil {
		r.Message, r.Since = "the batch is paused by "+p.By, p.Since
		if p.Reason != "" {
			r.Message += ": " + p.Reason
		}
	}
	return r
}

func callLimit(id string, calls, limit int) *Reason {
	return &Reason{
		Cause: CallLimit, Code: "call_limit_reached", Message: fmt.Sprintf("call limit reached: %d of %d calls were made", calls, limit),
		NextAction: fmt.Sprintf("to continue, run `kycq batch resume %s --max-calls N`", id),
	}
}
