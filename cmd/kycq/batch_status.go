package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/blocked"
)

func newBatchStatus(a *app) *cobra.Command {
	return a.batchCommand(tolerant(&cobra.Command{
		Use:   "status BATCH",
		Short: "show the progress of a batch",
		Long: `status shows how far a batch is, what blocks it, when it may end at the present pace, and its failures by code, with what to do
about each. It reads counters, not rows.`,
		Example: "  kycq batch status customers-1f00c3aa\n  kycq batch status customers-1f00c3aa --json | jq .outcomes",
		Args:    oneBatch,
	}), func(ctx context.Context, d *batchDeps, args []string) error {
		st, err := readBatch(ctx, d, args[0])
		if err != nil {
			return err
		}
		return a.Answer(st, st.text)
	})
}

// batchStatus is what batch status and batch watch print.
type batchStatus struct {
	*batch.Status
	holdStatus                 // those of the kind
	Blocked    *blocked.Reason `json:"blocked,omitempty"`
	// PerMinute is how many rows ended in a minute lately; the rate of the fleet while that is not known.
	PerMinute float64 `json:"per_minute"`
	// ETASeconds is the time until the batch ends at this pace. It is absent while the batch is blocked.
	ETASeconds int64     `json:"eta_seconds,omitempty"`
	Failures   []failure `json:"failures"`
}

func readBatch(ctx context.Context, d *batchDeps, id string) (*batchStatus, error) {
	s, _, err := d.control.Status(ctx, id)
	if err != nil {
		return nil, err
	}
	fleet, err := d.fleet(ctx)
	if err != nil {
		return nil, err
	}
	return newStatus(fleet, s)
}

func newStatus(fleet *blocked.Fleet, s *batch.Status) (*batchStatus, error) {
	st := &batchStatus{Status: s, holdStatus: holdStatusOf(fleet.HoldsOf(s.Kind)), PerMinute: s.EndPerMinute, Failures: failuresOf(s.Batch, s.Codes)}
	if st.PerMinute == 0 {
		st.PerMinute = fleet.PerMinute(s.Kind)
	}
	var err error
	if st.Blocked, err = fleet.Batch(s); err != nil {
		return nil, err
	}
	if st.moving() {
		st.ETASeconds = int64(batch.TimeFor(st.Rows-st.Ended, st.PerMinute) / time.Second)
	}
	return st, nil
}

// moving reports whether rows are being processed, so that the time left can be estimated.
func (st *batchStatus) moving() bool {
	return st.State == batch.Running && st.Blocked == nil && !st.Rebuilding && st.Reason == "" && st.Ended < st.Rows
}

func (st *batchStatus) eta() string {
	return batch.DurationText(time.Duration(st.ETASeconds) * time.Second)
}

func (st *batchStatus) text() string {
	var text strings.Builder
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(&text, format+"\n", args...) }
	line("batch    %s (%s)", st.Batch, st.Kind)
	line("state    %s", st.stateText())
	if st.Rebuilding {
		line("         Redis lost the progress; it is being restored from the records; until then the counts are too low")
	}
	line("rows     %d: %d ended, %d in progress, %d waiting", st.Rows, st.Ended, st.Open, st.Waiting)
	line("outcomes %s", outcomesText(st.Status))
	calls := fmt.Sprint(st.Calls)
	if st.MaxCalls > 0 {
		calls += fmt.Sprintf(" of at most %d", st.MaxCalls)
	}
	line("calls    %s", calls)
	if st.Reviews > 0 {
		line("reviews  %s to check: kycq batch report %s --review", count(st.Reviews, "image"), st.Batch)
	}
	if st.Mismatches > 0 {
		line("mismatch %s from the input: kycq batch report %s --mismatch", differ(st.Mismatches), st.Batch)
	}
	switch {
	case st.Done:
		line("ended    %s", stamp(st.EndedAt))
	case st.moving():
		line("eta      %s at %.1f rows a minute", st.eta(), st.PerMinute)
	}
	if st.Blocked != nil {
		line("%s", st.Blocked.Line())
	}
	text.WriteString(failuresText(st.Failures))
	return text.String()
}

// stateText is the state, with the reason if the batch waits.
func (st *batchStatus) stateText() string {
	switch {
	case st.State == batch.CallLimitReached:
		return "call limit reached"
	case st.State == batch.Paused:
		return "paused"
	case st.State == batch.Cancelled && !st.Done:
		return "cancelled; open rows are being closed"
	case st.Reason != "":
		return fmt.Sprintf("%s (waiting: %s)", st.State, st.Reason)
	}
	return string(st.State)
}

func differ(n int) string {
	if n == 1 {
		return "1 valid passport differs"
	}
	return fmt.Sprintf("%d valid passports differ", n)
}

// outcomesText lists the outcomes in a fixed order.
func outcomesText(s *batch.Status) string {
	var parts []string
	for _, outcome := range []string{"valid", "invalid", "failed", "cancelled"} {
		if n := s.Outcomes[outcome]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", outcome, n))
		}
	}
	if s.Mismatches > 0 {
		parts = append(parts, fmt.Sprintf("(mismatch: %d)", s.Mismatches))
	}
	if s.AlreadyDone > 0 {
		parts = append(parts, fmt.Sprintf("(already done: %d)", s.AlreadyDone))
	}
	if s.DifferentInput > 0 {
		parts = append(parts, fmt.Sprintf("(different input: %d)", s.DifferentInput))
	}
	if len(parts) == 0 {
		return "none yet"
	}
	return strings.Join(parts, " ")
}
