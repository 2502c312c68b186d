package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/gate"
)

func newBatchStatus(a *app) *cobra.Command {
	return a.batchCommand(&cobra.Command{
		Use:     "status BATCH",
		Short:   "show how far a batch is",
		Example: "  kycq batch status customers-1f00c3aa\n  kycq batch status customers-1f00c3aa --json | jq .outcomes",
		Args:    oneBatch,
	}, func(ctx context.Context, d *batchDeps, args []string) error {
		st, err := readBatch(ctx, d, args[0])
		if err != nil {
			return err
		}
		if a.JSON {
			return a.PrintJSON(st)
		}
		return a.Print("%s", st.text())
	})
}

// batchStatus is a batch and what it waits for.
type batchStatus struct {
	*batch.Status
	Hold *gate.Hold `json:"hold"`
	// PerMinute is the pace: what was seen while watching, else the rate.
	PerMinute  float64 `json:"per_minute"`
	ETASeconds int64   `json:"eta_seconds"`
}

func readBatch(ctx context.Context, d *batchDeps, id string) (*batchStatus, error) {
	s, b, err := d.control.Status(ctx, id)
	if err != nil {
		return nil, err
	}
	rate, hold, err := d.perMinute(ctx, b.Kind)
	if err != nil {
		return nil, err
	}
	st := &batchStatus{Status: s, Hold: hold, PerMinute: rate}
	if !s.Done {
		st.ETASeconds = int64(batch.TimeFor(s.Rows-s.Ended, rate) / time.Second)
	}
	return st, nil
}

func (st *batchStatus) text() string {
	var text strings.Builder
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(&text, format+"\n", args...) }
	state := string(st.State)
	if st.State == batch.Cancelled && !st.Done {
		state = "cancelled, rows in hand are being closed"
	}
	if st.Reason != "" {
		state += " (" + st.Reason + ")"
	}
	line("batch    %s (%s)", st.Batch, st.Kind)
	line("state    %s", state)
	if st.Rebuilding {
		line("         counting anew from the records: the numbers still grow")
	}
	line("rows     %d: %d ended, %d in hand, %d waiting", st.Rows, st.Ended, st.Open, st.Waiting)
	line("outcomes %s", describeOutcomes(st.Status))
	calls := fmt.Sprint(st.Calls)
	if st.MaxCalls > 0 {
		calls += fmt.Sprintf(" of at most %d", st.MaxCalls)
	}
	line("calls    %s", calls)
	if st.Hold != nil {
		line("%s", describeHold(st.Hold))
	}
	switch {
	case st.Done:
		line("ended    %s", stamp(st.EndedAt))
	case st.State == batch.Running:
		line("eta      %s at %.1f a minute", longTime(time.Duration(st.ETASeconds)*time.Second), st.PerMinute)
	}
	return text.String()
}
