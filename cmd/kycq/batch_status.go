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
	*blocked.BatchStatus
	holdStatus           // those of the kind
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
	st, err := fleet.StatusOf(s)
	if err != nil {
		return nil, err
	}
	return &batchStatus{st, holdStatusOf(fleet.HoldsOf(s.Kind)), failuresOf(s.Batch, s.Codes)}, nil
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
	case st.Moving():
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
