package blocked

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/asynqx"
	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/rate"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

var (
	at    = time.Date(2026, 11, 27, 2, 0, 0, 0, time.UTC)
	alive = []redisx.Worker{{Host: "a1", PID: 7}}
	free  = gate.KindStatus{Kind: "passport", Breaker: gate.BreakerClosed}
)

// fleet is a fleet with one worker and nothing that blocks, changed by change.
func fleet(change func(f *Fleet)) *Fleet {
	f := &Fleet{at: at, Workers: alive, Kinds: []gate.KindStatus{free}, Queues: map[string]asynqx.Depth{}}
	change(f)
	return f
}

func kind(change func(k *gate.KindStatus)) func(f *Fleet) {
	return func(f *Fleet) { change(&f.Kinds[0]) }
}

func holds(h ...hold.Hold) func(f *Fleet) { return func(f *Fleet) { f.Holds = h } }

// Each cause of the fleet stops a batch and a job of the kind, and is named with what to do.
func TestTheCausesOfTheFleet(t *testing.T) {
	t.Parallel()
	const any = "*"
	for name, c := range map[string]struct {
		change               func(f *Fleet)
		cause, message, next string
		since, until         time.Time
	}{
		"hold": {
			holds(hold.Hold{Cause: hold.Balance, Code: "insufficient_balance", Reason: "the account's balance is too low", NextAction: "top up; then run `kycq fleet resume`", Since: at}),
			Hold, "on hold: the account's balance is too low", "top up; then run `kycq fleet resume`", at,
			time.Time{},
		},
		"hold of a kind": {
			holds(hold.Hold{Cause: hold.Vendor, Kind: "passport", Reason: "odd answers", NextAction: "run `kycq doctor`", Since: at}),
			Hold, "on hold, passport only: odd answers", "run `kycq doctor`", at,
			time.Time{},
		},
		"pause": {
			holds(hold.Hold{Cause: hold.Operator, Reason: "top-up", By: "asha", NextAction: "run `kycq fleet resume`", Since: at}),
			Pause, "paused by asha: top-up", "run `kycq fleet resume`", at,
			time.Time{},
		},
		"hold that is tested": {
			holds(hold.Hold{Cause: hold.Balance, Reason: "no balance", NextAction: "top up", Since: at, Probing: true}),
			Hold, "on hold: no balance", "none: it was resumed, and the next call is the test call", at,
			time.Time{},
		},
		"redis is new": {
			func(f *Fleet) { f.Restoring = true }, Restoring, "Redis is new or has lost data: workers restore the installation's name and the pauses before any call",
			"none if it passes; else run `kycq doctor`",
			time.Time{},
			time.Time{},
		},
		"redis has lost its name": {
			func(f *Fleet) { f.nameless = true }, Restoring, "Redis is new or has lost data: workers restore the installation's name and the pauses before any call",
			"none if it passes; else run `kycq doctor`",
			time.Time{},
			time.Time{},
		},
		"never a worker": {
			func(f *Fleet) { f.Workers = nil }, NoWorker, "no worker is alive, and none was seen in the last week", "start one with `kycq worker`", time.Time{}, time.Time{},
		},
		"breaker open": {
			kind(func(k *gate.KindStatus) { k.Breaker, k.BreakerFor = gate.BreakerOpen, 10*time.Second }),
			Breaker, "Cashfree fails the calls of passport, so the circuit breaker is open", "none: kycq then makes a trial call",
			time.Time{},
			at.Add(10 * time.Second),
		},
		"breaker half-open": {
			kind(func(k *gate.KindStatus) { k.Breaker = gate.BreakerProbing }),
			Breaker, "Cashfree failed the calls of passport, and the circuit breaker is half-open", "none: a trial call decides",
			time.Time{},
			time.Time{},
		},
		"429": {
			kind(func(k *gate.KindStatus) { k.StoppedFor, k.LastLimited = 42*time.Second, at.Add(-time.Second) }),
			RateLimited, "Cashfree's rate limit was reached (429)", any, at.Add(-time.Second), at.Add(42 * time.Second),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fleet(c.change)
			if len(f.Holds) > 0 { // holds pause the queues: that is no further cause
				f.Queues[tasks.Queue(tasks.Passport, tasks.Bulk)] = asynqx.Depth{Paused: true}
			}
			rows, err := f.Batch(&batch.Status{Batch: "b-00000000", Kind: tasks.Passport, State: batch.Running, Rows: 9})
			if err != nil {
				t.Fatal(err)
			}
			for of, got := range map[string]*Reason{
				"kind": f.Calls(tasks.Passport), "batch": rows, "job": f.job(&storage.Record{JobSpec: tasks.JobSpec{Kind: tasks.Passport}, State: storage.StateQueued}, nil, nil),
			} {
				if got == nil || got.Cause != c.cause || got.Message != c.message || c.next != any && got.NextAction != c.next || !got.Since.Equal(c.since) || !got.Until.Equal(c.until) || len(got.Also) > 0 {
					t.Errorf("%s: %+v", of, got)
				}
			}
			ended, err := f.Batch(&batch.Status{Kind: tasks.Passport, State: batch.Ended, Done: true})
			if err != nil || ended != nil {
				t.Errorf("a batch that is done: %+v, %v", ended, err)
			}
			for _, state := range []storage.State{storage.StateSent, storage.StateAnswered} {
				called := f.job(&storage.Record{JobSpec: tasks.JobSpec{Kind: tasks.Passport}, State: state}, nil, nil)
				if (called != nil) != (c.cause == NoWorker) {
					t.Errorf("a job that is %s, and needs no call: %+v", state, called)
				}
			}
			if other := f.Calls(tasks.Aadhaar); (other != nil) != (c.cause != Breaker && c.cause != RateLimited && !strings.Contains(c.message, "passport only")) {
				t.Errorf("the other kind: %+v", other)
			}
		})
	}
}

func TestTheLastWorkerIsNamed(t *testing.T) {
	t.Parallel()
	for how, w := range map[string]redisx.Worker{
		"no worker is alive: the last, on a1 (pid 7), was stopped":           {Host: "a1", PID: 7, Stopped: true, SeenAgo: time.Hour},
		"no worker is alive: the last, on a1 (pid 7), crashed or lost Redis": {Host: "a1", PID: 7, SeenAgo: time.Hour},
	} {
		r := OfWorkers([]redisx.Worker{w})
		if r == nil || r.Message != how || time.Since(r.Since).Round(time.Minute) != time.Hour {
			t.Errorf("%+v", r)
		}
	}
}

func row(code, decision, batchID string) asynqx.Delayed {
	payload, _ := json.Marshal(map[string]any{
		"version": 1, "kind": "passport", "lane": "bulk", "verification_id": "P1", "run": 1, "batch": batchID, "sealed_input": "x",
	})
	return asynqx.Delayed{Payload: payload, Decision: decision, Code: code, Since: at, Next: at.Add(time.Minute)}
}

func TestTheCausesOfABatch(t *testing.T) {
	t.Parallel()
	status := batch.Status{Batch: "b-00000000", Kind: tasks.Passport, State: batch.Running, Rows: 9, Open: 2}
	queue := tasks.Queue(tasks.Passport, tasks.Bulk)
	waiting := func(f *Fleet) { f.Queues[queue] = asynqx.Depth{Retry: 2} }
	busy := func(f *Fleet) { f.Queues[queue] = asynqx.Depth{Retry: 2, Pending: 5} }
	for name, c := range map[string]struct {
		change               func(f *Fleet)
		status               func(s *batch.Status)
		delayed              []asynqx.Delayed
		cause, message, next string // cause "": not blocked
	}{
		"moving":             {change: busy},
		"a moment's silence": {change: kind(func(k *gate.KindStatus) { k.StoppedFor = time.Second })},
		"some rows wait":     {change: busy, delayed: []asynqx.Delayed{row("verification_failed", "retry", "b-00000000"), row("key_missing", "later", "c-00000000")}},
		"of another batch":   {change: waiting, delayed: []asynqx.Delayed{row("key_missing", "later", "c-00000000")}},
		"all rows wait":      {change: busy, delayed: []asynqx.Delayed{row("verification_failed", "retry", "b-00000000"), row("verification_failed", "retry", "b-00000000")}, cause: Retry, message: "all 2 open rows wait: Cashfree could not process the request", next: "none: kycq tries again"},
		"a row waits":        {change: waiting, delayed: []asynqx.Delayed{row("verification_failed", "later", "b-00000000")}, cause: Retry, message: "all 2 open rows wait: Cashfree could not process the request", next: "none: kycq tries again"},
		"images":             {change: waiting, delayed: []asynqx.Delayed{row("image_not_fetched", "later", "b-00000000")}, cause: Images, message: "all 2 open rows wait: the masked image cannot be fetched at the moment", next: "none if it passes; else see the worker's log and run `kycq doctor`; the image is paid for, and kycq fetches it again by itself"},
		"a key of a job":     {change: waiting, delayed: []asynqx.Delayed{row("key_missing", "later", "b-00000000")}, cause: KeyMissing, message: "all 2 open rows wait: the worker's keyset lacks the key that this job was sealed with", next: "give the workers the current keyset: `kycq keys status` lists the key ids"},
		"a key of the rows":  {status: func(s *batch.Status) { s.Reason = "key_missing" }, cause: KeyMissing, message: "the rows of the batch wait: the worker's keyset lacks the key that this job was sealed with", next: "give the workers the current keyset: `kycq keys status` lists the key ids"},
		"redis is full":      {status: func(s *batch.Status) { s.Reason = "redis_full" }, cause: RedisFull, message: "Redis is nearly full, so no further rows are enqueued", next: "raise its maxmemory, or wait until the queues are shorter"},
		"after a hold":       {change: waiting, delayed: []asynqx.Delayed{row("held", "later", "b-00000000")}, cause: Retry, message: "all 2 open rows wait: returned to the queue while calls were stopped", next: "none: kycq tries again"},
		"a foreign code":     {change: waiting, delayed: []asynqx.Delayed{row("jane@example", "later", "b-00000000")}, cause: Retry, message: "all 2 open rows wait: returned to the queue", next: "none: kycq tries again"},
		"call limit": {
			status: func(s *batch.Status) { s.State, s.Calls, s.MaxCalls = batch.CallLimitReached, 5, 5 }, cause: CallLimit,
			message: "call limit reached: 5 of 5 calls were made", next: "to continue, run `kycq batch resume b-00000000 --max-calls N`",
		},
		"paused": {
			change: func(f *Fleet) { f.Workers = nil }, cause: BatchPause, message: "the batch is paused by asha: a trial", next: "run `kycq batch resume b-00000000`",
			status: func(s *batch.Status) {
				s.State, s.Pause = batch.Paused, &batch.Pause{By: "asha", Reason: "a trial", Since: at}
			},
		},
		"queue paused on the dashboard": {
			change: func(f *Fleet) { f.Queues[queue] = asynqx.Depth{Paused: true} }, cause: QueuePaused,
			message: "the queue passport-bulk is paused on the dashboard", next: "resume it on the dashboard",
		},
		"feed paused on the dashboard": {
			change: func(f *Fleet) { f.Queues[batch.Queue] = asynqx.Depth{Paused: true} }, cause: QueuePaused,
			message: "the queue feed is paused on the dashboard", next: "resume it on the dashboard",
		},
		"cancelled":                  {change: holds(hold.Hold{Cause: hold.Balance}), status: func(s *batch.Status) { s.State = batch.Cancelled }, delayed: []asynqx.Delayed{row("key_missing", "later", "b-00000000")}},
		"cancelled without a worker": {change: func(f *Fleet) { f.Workers = nil }, status: func(s *batch.Status) { s.State = batch.Cancelled }, cause: NoWorker, message: "no worker is alive, and none was seen in the last week", next: "start one with `kycq worker`"},
		"writing the report":         {change: holds(hold.Hold{Cause: hold.Balance}), status: func(s *batch.Status) { s.Ended = s.Rows }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fleet(func(*Fleet) {})
			if c.change != nil {
				c.change(f)
			}
			s := status
			if c.status != nil {
				c.status(&s)
			}
			got, list := f.withoutTasks(&s)
			if list {
				got = f.rowsOf(&s, c.delayed)
			}
			if c.cause == "" && got != nil || c.cause != "" && (got == nil || got.Cause != c.cause || got.Message != c.message || got.NextAction != c.next) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestTheTimeLeftOfABatch(t *testing.T) {
	t.Parallel()
	f := fleet(func(f *Fleet) {
		f.Kinds = []gate.KindStatus{{Kind: "passport", PerMinute: 100}}
		f.Queues[tasks.Queue(tasks.Passport, tasks.Bulk)] = asynqx.Depth{Pending: 490, Active: 10}
	})
	for name, c := range map[string]struct {
		status batch.Status
		want   int64
	}{
		"400 rows of other batches are first":    {batch.Status{Rows: 1000, Open: 100}, 14 * 60},
		"the queue was counted before the batch": {batch.Status{Rows: 1000, Open: 600}, 10 * 60},
		"the pace shows what else is queued":     {batch.Status{Rows: 1000, Open: 100, Ended: 200, EndPerMinute: 50}, 16 * 60},
	} {
		c.status.Kind, c.status.State = tasks.Passport, batch.Running
		if st, err := f.StatusOf(&c.status); err != nil || st.ETASeconds != c.want {
			t.Errorf("%s: %+v, %v, want %d s", name, st, err, c.want)
		}
	}
}

func TestAKindIsNotBlockedWhileJobsArePending(t *testing.T) {
	t.Parallel()
	f := fleet(func(f *Fleet) {
		f.Queues[tasks.Queue(tasks.Passport, tasks.Live)] = asynqx.Depth{Pending: 1}
		f.Queues[tasks.Queue(tasks.Passport, tasks.Bulk)] = asynqx.Depth{Retry: 3}
	})
	if r, err := f.Kind(tasks.Passport); r != nil || err != nil { // without Redis, it cannot read delayed jobs
		t.Errorf("%+v, %v", r, err)
	}
}

func TestMostDelayedJobsNameTheCauseAndTheFirstTheTime(t *testing.T) {
	t.Parallel()
	list := []asynqx.Delayed{row("key_missing", "later", ""), row("verification_failed", "retry", ""), row("verification_failed", "retry", "")}
	list[1].Next, list[2].Next = at.Add(time.Hour), at.Add(time.Hour)
	if r := mostOf(list, "all 3 wait"); r.Code != "verification_failed" || !r.Since.IsZero() || !r.Until.Equal(at.Add(time.Minute)) {
		t.Errorf("%+v", r)
	}
}

func TestTheConfiguredRateIsThatOfTheWorkersAlive(t *testing.T) {
	t.Parallel()
	with := func(r string, ago time.Duration) redisx.Worker {
		return redisx.Worker{Settings: map[string]string{"passport_rate": r}, SeenAgo: ago}
	}
	f := fleet(func(f *Fleet) {
		f.Workers = []redisx.Worker{with("200/m", 0), with("50/m", time.Hour), with("100/m", 0), with("200/m", 0)}
	})
	if got := f.Configured(free); got != "200/m, 100/m" {
		t.Error(got)
	}
	own := map[string]rate.Rate{"passport": {Calls: 100, Per: time.Minute}}
	differ := "passport: the workers are set to different rates (200/m, 100/m): give all the same, or run: kycq fleet rate passport RATE"
	if got := f.OtherRates(own); !slices.Equal(got, []string{differ}) {
		t.Error(got)
	}
	f.Workers = f.Workers[:2]
	if got := f.OtherRates(own); !slices.Equal(got, []string{"passport: the rate of the workers counts (200/m), not the one set here (100/m)"}) {
		t.Error(got)
	}
	set := fleet(func(f *Fleet) { f.Workers = []redisx.Worker{with("200/m", 0)}; f.Kinds[0].Set = &gate.SetRate{} })
	if got := set.OtherRates(own); got != nil {
		t.Error(got)
	}
	f.Workers = f.Workers[1:]
	if got := f.OtherRates(own); got != nil {
		t.Error(got)
	}
}

// The settings of a command on another machine say nothing about the pace of the workers.
func TestThePaceIsThatOfTheWorkersRate(t *testing.T) {
	t.Parallel()
	own, workers, half := rate.Rate{Calls: 100, Per: time.Minute}, rate.Rate{Calls: 50, Per: time.Second}, rate.Rate{Calls: 50, Per: time.Minute}
	for name, tt := range map[string]struct {
		k    gate.KindStatus
		want float64
	}{
		"not set": {gate.KindStatus{Configured: own, PerMinute: 98}, 2940},
		"set":     {gate.KindStatus{Configured: own, Set: &gate.SetRate{Rate: half}, PerMinute: 49}, 49},
		"vendor":  {gate.KindStatus{Configured: own, VendorLimit: 10, PerMinute: 9.8}, 588},
	} {
		configure(&tt.k, workers)
		if tt.k.Configured != workers || math.Abs(tt.k.PerMinute-tt.want) > 1e-6 {
			t.Errorf("%s: %s, %f a minute, want %f", name, tt.k.Configured, tt.k.PerMinute, tt.want)
		}
	}
}

func TestTheCausesOfAJob(t *testing.T) {
	t.Parallel()
	retry, gone := row("verification_failed", "retry", ""), row("image_not_fetched", "later", "")
	limit := row("call_limit_reached", "later", "")
	for name, c := range map[string]struct {
		state          storage.State
		reason         string
		status         *batch.Status
		task           *asynqx.Delayed
		cause, message string
	}{
		"in its queue":                 {state: storage.StateQueued},
		"retry":                        {state: storage.StateWaiting, reason: "verification_failed", task: &retry, cause: Retry, message: "the job waits: Cashfree could not process the request"},
		"retry, and its task was lost": {state: storage.StateWaiting, reason: "verification_failed", cause: Retry, message: "the job waits: Cashfree could not process the request"},
		"image":                        {state: storage.StateAnswered, task: &gone, cause: Images, message: "the job waits: the masked image cannot be fetched at the moment"},
		"call limit":                   {state: storage.StateQueued, task: &limit, status: &batch.Status{Batch: "b-00000000", Calls: 3, MaxCalls: 3}, cause: CallLimit, message: "call limit reached: 3 of 3 calls were made"},
		"paused batch":                 {state: storage.StateQueued, status: &batch.Status{State: batch.Paused}, cause: BatchPause, message: "the batch is paused"},
		"paid, of a paused batch":      {state: storage.StateAnswered, status: &batch.Status{State: batch.Paused}},
		"call limit of the batch":      {state: storage.StateQueued, status: &batch.Status{State: batch.CallLimitReached, Calls: 3, MaxCalls: 3}, cause: CallLimit, message: "call limit reached: 3 of 3 calls were made"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fleet(func(*Fleet) {})
			rec := &storage.Record{JobSpec: tasks.JobSpec{Kind: tasks.Passport}, State: c.state, Reason: c.reason, NotBefore: time.Now().Add(time.Hour)}
			got := f.job(rec, c.status, c.task)
			if c.cause == "" && got != nil || c.cause != "" && (got == nil || got.Cause != c.cause || got.Message != c.message) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestALineHasTimesAndWhatToDo(t *testing.T) {
	t.Parallel()
	r := &Reason{Cause: Hold, Message: "on hold: no balance", Since: time.Now().Add(-125 * time.Minute), NextAction: "top up", Also: []string{"no worker is alive"}}
	want := "blocked: on hold: no balance (since " + stamp(r.Since) + ", for 2h5m). Next: top up. Also: no worker is alive"
	if got := r.Line(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	r = &Reason{Cause: Retry, Message: "the job waits", Since: time.Now(), Until: at, NextAction: "none"}
	if got := r.Line(); got != "blocked: the job waits (since "+stamp(r.Since)+", for under 1m; next try at 2026-11-27 02:00:00Z). Next: none" {
		t.Error(got)
	}
}
