package main

import (
	"testing"
	"time"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/gate"
)

func TestAHoldIsOneLineWithItsDuration(t *testing.T) {
	t.Parallel()
	for want, since := range map[string]time.Duration{
		"ON HOLD for under 1m: the balance is too low. Next: top up": 10 * time.Second,
		"ON HOLD for 3m: the balance is too low. Next: top up":       3*time.Minute + 10*time.Second,
		"ON HOLD for 2h5m: the balance is too low. Next: top up":     2*time.Hour + 5*time.Minute + 10*time.Second,
	} {
		h := &gate.Hold{Reason: "the balance is too low", NextAction: "top up", Since: time.Now().Add(-since)}
		if got := holdLine(h); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestProgressLinesShowTheReasonOfAWait(t *testing.T) {
	t.Parallel()
	outcomes := map[string]int{"valid": 60}
	for want, st := range map[string]batchStatus{
		"valid 60; 98.0 a minute, 1m0s left":      {Status: &batch.Status{State: batch.Running, Rows: 100}, PerMinute: 98, ETASeconds: 60},
		"valid 60; on hold":                       {Status: &batch.Status{State: batch.Running, Rows: 100, Reason: "held"}, Hold: &gate.Hold{}},
		"valid 60; running (waiting: redis_full)": {Status: &batch.Status{State: batch.Running, Rows: 100, Reason: "redis_full"}},
		"valid 60; writing the report":            {Status: &batch.Status{State: batch.Running, Rows: 60, Ended: 60}},
		"valid 60; call limit reached: 60 of 60 calls were made. To continue, run: kycq batch resume b-00000000 --max-calls N": {
			Status: &batch.Status{Batch: "b-00000000", State: batch.CallLimitReached, Rows: 100, Calls: 60, MaxCalls: 60},
		},
	} {
		st.Outcomes = outcomes
		if got := progressLine(&st); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
