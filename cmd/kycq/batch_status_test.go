package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/hold"
)

func TestAHoldIsOneLineWithItsDuration(t *testing.T) {
	t.Parallel()
	for want, since := range map[string]time.Duration{
		"ON HOLD for under 1m: the balance is too low. Next: top up": 10 * time.Second,
		"ON HOLD for 3m: the balance is too low. Next: top up":       3*time.Minute + 10*time.Second,
		"ON HOLD for 2h5m: the balance is too low. Next: top up":     2*time.Hour + 5*time.Minute + 10*time.Second,
	} {
		h := hold.Hold{Reason: "the balance is too low", NextAction: "top up", Since: time.Now().Add(-since)}
		if got := holdLines([]hold.Hold{h}); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestProgressLinesShowTheReasonOfAWait(t *testing.T) {
	t.Parallel()
	outcomes := map[string]int{"valid": 60}
	for want, st := range map[string]batchStatus{
		"valid 60; 98.0 a minute, 1m0s left":      {Status: &batch.Status{State: batch.Running, Rows: 100}, PerMinute: 98, ETASeconds: 60},
		"valid 60; on hold":                       {Status: &batch.Status{State: batch.Running, Rows: 100, Reason: "held"}, holdStatus: holdStatusOf(make([]hold.Hold, 1))},
		"valid 60; running (waiting: redis_full)": {Status: &batch.Status{State: batch.Running, Rows: 100, Reason: "redis_full"}},
		"valid 60; writing the report":            {Status: &batch.Status{State: batch.Running, Rows: 60, Ended: 60}},
		"valid 60; call limit reached":            {Status: &batch.Status{State: batch.CallLimitReached, Rows: 100, Calls: 60, MaxCalls: 60}},
	} {
		st.Outcomes = outcomes
		if got := progressLine(&st); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestTheTextBesideTheBarFitsTheTerminal(t *testing.T) {
	t.Parallel()
	text := "valid 123456 invalid 4321 failed 12; 98.0 a minute, 21h30m left"
	if got := fitBar(text, 200000, 200); got != text {
		t.Errorf("200 columns: %q", got)
	}
	if got := fitBar(text, 200000, 0); got != text {
		t.Errorf("no terminal: %q", got)
	}
	for _, columns := range []int{30, 40, 80} {
		bar := " 100% || (200000/200000) "
		if got := fitBar(text, 200000, columns); len(got+bar) > columns || !strings.HasSuffix(got, "...") {
			t.Errorf("%d columns: %q", columns, got)
		}
	}
	if got := fitBar(text, 200000, 10); got != "..." {
		t.Errorf("10 columns: %q", got)
	}
}

func TestTheCallLimitIsANoticeOfItsOwn(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	a := &app{App: &cli.App{Err: &stderr}}
	w := &watcher{progress: a.newProgress("plain"), endedAtBegin: -1}
	st := &batchStatus{Status: &batch.Status{Batch: "b-00000000", State: batch.CallLimitReached, Rows: 100, Ended: 60, Calls: 60, MaxCalls: 60, Outcomes: map[string]int{"valid": 60}}}
	for range 2 {
		if err := w.show(st); err != nil {
			t.Fatal(err)
		}
	}
	want := "call limit reached: 60 of 60 calls were made. To continue, run: kycq batch resume b-00000000 --max-calls N\n" +
		"60 of 100: valid 60; call limit reached\n"
	if stderr.String() != want {
		t.Errorf("got  %s\nwant %s", stderr.String(), want)
	}
}
