package metrics_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func TestProcessMetricsAreExportedWhileRedisIsDown(t *testing.T) {
	t.Parallel()
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialTimeout: time.Second})
	t.Cleanup(func() { _ = client.Close() })
	m := open(t, client, &fakeGate{err: errors.New("down")})
	m.Called(tasks.Passport, cashfree.Valid, time.Second)
	f := scrape(t, m)
	f.want(t, "kycq_redis_up", "", 0)
	f.want(t, "kycq_vendor_calls_total", "kind=passport,answer=valid", 1)
	for name := range f {
		if strings.HasPrefix(name, "asynq_") || strings.HasPrefix(name, "kycq_queue") || strings.HasPrefix(name, "kycq_rate") {
			t.Errorf("%s is exported without Redis", name)
		}
	}
}

func TestGateStateIsExported(t *testing.T) {
	t.Parallel()
	g := *calmGate
	g.holds = []hold.Hold{
		{Cause: hold.Balance, Code: "insufficient_balance", Since: time.Unix(1_700_000_000, 0)},
		{Cause: hold.Vendor, Kind: "passport", Code: "insufficient_balance", Since: time.Unix(1_700_000_001, 0)},
	}
	f := scrape(t, open(t, redisClient(t), &g))
	f.want(t, "kycq_redis_up", "", 1)
	f.want(t, "kycq_rate_used_ratio", "kind=aadhaar", 0.5)
	f.want(t, "kycq_rate_limit_per_minute", "kind=passport", 100) // the vendor's limit, lower than the configured 200
	f.want(t, "kycq_gate_waiting", "kind=passport,lane=bulk", 3)
	f.want(t, "kycq_rate_limited_total", "kind=passport", 7)
	f.want(t, "kycq_breaker_state", "kind=passport,state=open", 1)
	f.want(t, "kycq_breaker_state", "kind=passport,state=closed", 0)
	f.want(t, "kycq_unstored_answers", "kind=aadhaar", 2)
	f.want(t, "kycq_unstored_answers", "kind=passport", 0)
	f.want(t, "kycq_hold", "", 1)
	f.want(t, "kycq_hold_started_timestamp_seconds", "cause=balance,kind=,code=insufficient_balance", 1_700_000_000)
	f.want(t, "kycq_hold_started_timestamp_seconds", "cause=vendor,kind=passport,code=insufficient_balance", 1_700_000_001)
}

// someRounds are the counts of a leader.
var someRounds = redisx.Rounds{
	Open:    map[string]int64{"aadhaar": 2, "passport": 0},
	Oldest:  map[string]int64{"aadhaar-live": 1_700_000_000, "passport-live": 0},
	Batches: map[string]int64{"call_limit_reached": 1},
	Reviews: 3,
}

func TestOpenJobsAreCounted(t *testing.T) {
	t.Parallel()
	client := redisClient(t)
	if err := redisx.CountRound(t.Context(), client, someRounds); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := redisx.AddMissing(t.Context(), client, 2); err != nil {
			t.Fatal(err)
		}
	}
	f := scrape(t, open(t, client, calmGate))
	f.want(t, "kycq_open_jobs", "kind=aadhaar", 2)
	f.want(t, "kycq_open_jobs", "kind=passport", 0)
	f.want(t, "kycq_missing_tasks_total", "", 4)
	f.want(t, "kycq_oldest_open_job_timestamp_seconds", "queue=aadhaar-live", 1_700_000_000)
	if _, ok := f.value("kycq_oldest_open_job_timestamp_seconds", "queue=passport-live"); ok {
		t.Error("a queue without open jobs has an oldest one")
	}
	f.want(t, "kycq_open_batches", "state=call_limit_reached", 1)
	f.want(t, "kycq_quarantined_images", "", 3)
}

// A name in Redis that kycq has not written could be personal data, and one that is not UTF-8 would end the process.
func TestOtherNamesInRedisAreNoLabels(t *testing.T) {
	t.Parallel()
	client := redisClient(t)
	other := map[string]int64{"jane@example": 1, "\xff": 1}
	if err := redisx.CountRound(t.Context(), client, redisx.Rounds{Open: other, Oldest: other, Batches: other}); err != nil {
		t.Fatal(err)
	}
	f := scrape(t, open(t, client, calmGate))
	for _, name := range []string{"kycq_open_jobs", "kycq_oldest_open_job_timestamp_seconds", "kycq_open_batches"} {
		if f[name] != nil {
			t.Errorf("%s: %s", name, f[name])
		}
	}
}

func TestWorkersAreCountedWhileTheyAreAlive(t *testing.T) {
	t.Parallel()
	client := redisClient(t)
	for id, stopped := range map[string]bool{"a": false, "b": false, "c": true} {
		if err := redisx.Heartbeat(t.Context(), client, redisx.Worker{ID: id, Stopped: stopped}); err != nil {
			t.Fatal(err)
		}
	}
	scrape(t, open(t, client, calmGate)).want(t, "kycq_workers", "", 2)
}

func TestOutcomesAndAttemptsAreCountedByRun(t *testing.T) {
	t.Parallel()
	m := open(t, redisClient(t), calmGate)
	attempts := []storage.Attempt{
		{Run: 1, Counted: true}, {Run: 2, Counted: true, Reissue: true}, {Run: 2}, {Run: 2, Counted: true},
	}
	for _, a := range attempts {
		m.Sending(tasks.Aadhaar, a)
	}
	m.Finished(&storage.Record{JobSpec: tasks.JobSpec{Kind: tasks.Aadhaar, Run: 2}, State: storage.StateFailed, Code: "provider_error", Review: "too_busy", Attempts: attempts})
	m.WaitedAtGate(tasks.Aadhaar, tasks.Live, 700*time.Millisecond)
	m.RecordWritten(tasks.Aadhaar, false)
	m.RecordWritten(tasks.Aadhaar, true)
	m.MaskChecked("visible_qr")
	f := scrape(t, m)
	f.want(t, "kycq_jobs_finished_total", "kind=aadhaar,outcome=failed,code=provider_error", 1)
	f.want(t, "kycq_jobs_finished_total", "kind=aadhaar,outcome=valid,code=", 0)
	f.want(t, "kycq_attempts_total", "kind=aadhaar", 4)
	f.want(t, "kycq_reissues_total", "kind=aadhaar", 1)
	f.want(t, "kycq_job_attempts", "kind=aadhaar", 1)
	if sum := f["kycq_job_attempts"].GetMetric()[0].GetHistogram().GetSampleSum(); sum != 2 {
		t.Errorf("run 2 took %v counted attempts, want 2", sum)
	}
	f.want(t, "kycq_gate_wait_seconds", "kind=aadhaar,lane=live", 1)
	f.want(t, "kycq_records_written_total", "kind=aadhaar", 1)
	f.want(t, "kycq_record_conflicts_total", "kind=aadhaar", 1)
	f.want(t, "kycq_mask_checks_total", "result=visible_qr", 1)
	f.want(t, "kycq_reviews_total", "outcome=failed", 1)
	f.want(t, "kycq_reviews_total", "outcome=valid", 0)
}

func TestExternalInputIsNeverALabel(t *testing.T) {
	t.Parallel()
	const canary = "j8369854_specimen_person"
	client := redisClient(t)
	client.SAdd(t.Context(), "asynq:queues", canary)
	client.LPush(t.Context(), "asynq:{"+canary+"}:pending", canary)
	enqueue(t, client, canary)
	g := *calmGate
	g.holds = []hold.Hold{
		{Cause: hold.Vendor, Code: canary, Reason: canary, By: canary, Host: canary, Job: canary, Since: time.Now()}, {Cause: canary}, {Cause: hold.IP, Kind: canary},
	}
	m := open(t, client, &g)
	m.Finished(&storage.Record{
		JobSpec: tasks.JobSpec{Kind: tasks.Passport, VerificationID: canary, Batch: canary, Run: 1},
		State:   storage.StateFailed, Code: canary,
		Attempts: []storage.Attempt{{Run: 1, Code: canary, ProviderID: canary, Counted: true}},
	})
	m.Held(canary)
	m.MaskChecked(canary)
	f := scrape(t, m)
	for name, family := range f {
		if strings.Contains(family.String(), canary) {
			t.Errorf("%s holds the canary", name)
		}
	}
	f.want(t, "kycq_jobs_finished_total", "kind=passport,outcome=failed,code=other", 1)
	f.want(t, "kycq_holds_total", "code=other", 1)
	f.want(t, "kycq_mask_checks_total", "result=other", 1)
}

func TestPassportsThatDifferAreCountedByField(t *testing.T) {
	t.Parallel()
	m := open(t, redisClient(t), calmGate)
	view := &storage.PassportView{}
	view.Matches.Name, view.Matches.DOB = storage.MatchNo, storage.MatchYes
	for _, state := range []storage.State{storage.StateValid, storage.StateInvalid} {
		m.Finished(&storage.Record{JobSpec: tasks.JobSpec{Kind: tasks.Passport, Run: 1}, State: state, Passport: view})
	}
	f := scrape(t, m)
	f.want(t, "kycq_passport_mismatches_total", "field=name", 1)
	f.want(t, "kycq_passport_mismatches_total", "field=dob", 0)
	f.want(t, "kycq_passport_mismatches_total", "field=file_number", 0)
}

func TestBuildIsExported(t *testing.T) {
	t.Parallel()
	scrape(t, open(t, redisClient(t), calmGate)).want(t, "kycq_build_info", "version=v1,commit=abc", 1)
}
