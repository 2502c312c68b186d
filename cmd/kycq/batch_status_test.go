package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/blocked"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/storage"
)

func TestProgressLinesShowTheReasonOfAWait(t *testing.T) {
	t.Parallel()
	outcomes := map[string]int{"valid": 60}
	for want, st := range map[string]batchStatus{
		"60 of 100: valid 60; 98.0 a minute, 1m0s left":      {BatchStatus: &blocked.BatchStatus{Status: &batch.Status{State: batch.Running, Ended: 60, Rows: 100}, PerMinute: 98, ETASeconds: 60}},
		"60 of 100: valid 60; blocked: on hold":              {BatchStatus: &blocked.BatchStatus{Status: &batch.Status{State: batch.Running, Ended: 60, Rows: 100, Reason: "held"}, Blocked: &blocked.Reason{Message: "on hold"}}},
		"60 of 100: valid 60; running (waiting: redis_full)": {BatchStatus: &blocked.BatchStatus{Status: &batch.Status{State: batch.Running, Ended: 60, Rows: 100, Reason: "redis_full"}}},
		"60 of 60: valid 60; writing the report":             {BatchStatus: &blocked.BatchStatus{Status: &batch.Status{State: batch.Running, Rows: 60, Ended: 60}}},
		"60 of 100: valid 60; restoring the progress":        {BatchStatus: &blocked.BatchStatus{Status: &batch.Status{State: batch.Running, Ended: 60, Rows: 100, Rebuilding: true}}},
	} {
		st.Outcomes = outcomes
		if got := progressLines(&st)[0]; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestAnETAIsOnlyGivenWhileRowsMove(t *testing.T) {
	t.Parallel()
	moving := batch.Status{State: batch.Running, Rows: 100, Ended: 60}
	for name, c := range map[string]struct {
		st   batchStatus
		want bool
	}{
		"moving":        {batchStatus{BatchStatus: &blocked.BatchStatus{Status: &moving}}, true},
		"blocked":       {batchStatus{BatchStatus: &blocked.BatchStatus{Status: &moving, Blocked: &blocked.Reason{}}}, false},
		"redis is full": {batchStatus{BatchStatus: &blocked.BatchStatus{Status: &batch.Status{State: batch.Running, Rows: 100, Reason: "redis_full"}}}, false},
		"call limit":    {batchStatus{BatchStatus: &blocked.BatchStatus{Status: &batch.Status{State: batch.CallLimitReached, Rows: 100}}}, false},
		"restoring":     {batchStatus{BatchStatus: &blocked.BatchStatus{Status: &batch.Status{State: batch.Running, Rows: 100, Rebuilding: true}}}, false},
		"all ended":     {batchStatus{BatchStatus: &blocked.BatchStatus{Status: &batch.Status{State: batch.Running, Rows: 100, Ended: 100}}}, false},
	} {
		if got := c.st.Moving(); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// The name of a batch may come from Redis; operators copy the command.
func TestACommandIsQuoted(t *testing.T) {
	t.Parallel()
	const odd = "b-1;$(reboot)"
	for _, code := range []string{"answer_lost", "provider_error", "input_invalid", odd} {
		if f := failureOf(odd, code, 1); !strings.Contains(f.Command, " '"+odd+"' ") || strings.Count(f.Command, "$") != strings.Count(f.Command, "'"+odd+"'") {
			t.Errorf("%s: %s", code, f.Command)
		}
	}
}

func TestTheBarFitsTheTerminal(t *testing.T) {
	t.Parallel()
	st := &batchStatus{BatchStatus: &blocked.BatchStatus{
		Status:    &batch.Status{State: batch.Running, Rows: 200000, Ended: 127788, Outcomes: map[string]int{"valid": 123456, "invalid": 4320, "failed": 12}},
		PerMinute: 98, ETASeconds: 44155,
	}}
	for columns, want := range map[int]string{
		200: "[######----] 127788 of 200000: valid 123456 invalid 4320 failed 12; 98.0 a minute, 12h15m55s left",
		80:  "127788 of 200000: valid 123456 invalid 4320 failed 12; 12h15m55s left",
		60:  "[######----] 127788 of 200000; 12h15m55s left",
		40:  "127788 of 200000; 12h15m55s left",
		20:  "127788 of 200000; 1",
		1:   "",
	} {
		if got := barLine(columns, share(int64(st.Ended), int64(st.Rows)), progressLines(st)...); got != want {
			t.Errorf("%d columns:\ngot  %s\nwant %s", columns, got, want)
		}
	}
}

func testWatcher(stderr *bytes.Buffer, mode string) *watcher {
	a := &app{App: &cli.App{Err: stderr}}
	w := &watcher{progress: a.newProgress(mode)}
	w.outage = &outage{patience: 10 * time.Minute, note: w.note}
	return w
}

func TestAReasonIsPrintedOnceOnALineOfItsOwn(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	w := testWatcher(&stderr, "bar")
	free := &batchStatus{BatchStatus: &blocked.BatchStatus{Status: &batch.Status{State: batch.Running, Rows: 100, Ended: 59, Outcomes: map[string]int{"valid": 59}}, PerMinute: 98, ETASeconds: 25}}
	held := &batchStatus{BatchStatus: &blocked.BatchStatus{Status: &batch.Status{State: batch.Running, Rows: 100, Ended: 60, Outcomes: map[string]int{"valid": 60}}, Blocked: &blocked.Reason{
		Message: "on hold: no balance", NextAction: "top up",
	}}}
	for _, st := range []*batchStatus{free, held, held} {
		if err := w.show(st); err != nil {
			t.Fatal(err)
		}
	}
	w.Clear()
	bar := "\r[######----] 60 of 100: valid 60; blocked: on hold: no balance\x1b[K"
	want := "\r[#####-----] 59 of 100: valid 59; 98.0 a minute, 25s left\x1b[K\nblocked: on hold: no balance. Next: top up\n" + bar + bar + "\n"
	if stderr.String() != want {
		t.Errorf("got  %q\nwant %q", stderr.String(), want)
	}
}

func TestAnOutageIsWaitedForAndThenGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var stderr bytes.Buffer
		o := &testWatcher(&stderr, "plain").outage
		down := fmt.Errorf("read the record: %w", storage.ErrUnreachable)
		pass := func(err error) error { return (*o).pass(t.Context(), err) }
		for range 3 {
			if err := pass(down); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Minute)
		}
		if err := pass(nil); err != nil {
			t.Fatal(err)
		}
		if lines := strings.Split(strings.TrimSpace(stderr.String()), "\n"); len(lines) != 2 || !strings.Contains(lines[0], "for at most 10m0s") || lines[1] != "reachable again, after 9m0s" {
			t.Errorf("%q", lines)
		}
		for range 10 {
			if err := pass(down); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if err := pass(down); err == nil || !cli.Unreachable(err) || !strings.Contains(err.Error(), "gave up after 10m0s") {
			t.Errorf("after 10 minutes: %v", err)
		}
		if err := pass(context.Canceled); err == nil {
			t.Error("another error was waited for")
		}
	})
}
