package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/cli"
)

func newBatchStatus(a *app) *cobra.Command {
	return a.batchCommand(tolerant(&cobra.Command{
		Use:     "status BATCH",
		Short:   "show the progress of a batch",
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
	holdStatus // those of the kind
	// PerMinute is the rate of the fleet; while watching, the measured pace of the batch.
	PerMinute  float64 `json:"per_minute"`
	ETASeconds int64   `json:"eta_seconds"`
}

func readBatch(ctx context.Context, d *batchDeps, id string) (*batchStatus, error) {
	s, b, err := d.control.Status(ctx, id)
	if err != nil {
		return nil, err
	}
	rate, holds, err := batch.Pace(ctx, d.gate, b.Kind)
	if err != nil {
		return nil, err
	}
	st := &batchStatus{Status: s, holdStatus: holdStatusOf(holds)}
	st.setPace(rate)
	return st, nil
}

func (st *batchStatus) setPace(perMinute float64) {
	st.PerMinute = perMinute
	if !st.Done {
		st.ETASeconds = int64(batch.TimeFor(st.Rows-st.Ended, perMinute) / time.Second)
	}
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
	switch {
	case st.Done:
		line("ended    %s", stamp(st.EndedAt))
	case st.State == batch.Running && st.Hold == nil:
		line("eta      %s at %.1f calls a minute", st.eta(), st.PerMinute)
	}
	if st.Hold != nil {
		line("%s", holdLines(st.Holds))
	}
	return text.String()
}

// stateText is the state, with the reason if the batch waits.
func (st *batchStatus) stateText() string {
	switch {
	case st.State == batch.CallLimitReached:
		return fmt.Sprintf("call limit reached: %d of %d calls were made. To continue, run: kycq batch resume %s --max-calls N", st.Calls, st.MaxCalls, st.Batch)
	case st.State == batch.Cancelled && !st.Done:
		return "cancelled; open rows are being closed"
	case st.Reason != "":
		return fmt.Sprintf("%s (waiting: %s)", st.State, st.Reason)
	}
	return string(st.State)
}

// outcomesText lists the outcomes in a fixed order.
func outcomesText(s *batch.Status) string {
	var parts []string
	for _, outcome := range []string{"valid", "invalid", "failed", "cancelled"} {
		if n := s.Outcomes[outcome]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", outcome, n))
		}
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

func newBatchList(a *app) *cobra.Command {
	var all bool
	cmd := a.batchCommand(tolerant(&cobra.Command{
		Use:     "list",
		Short:   "list open batches, or all",
		Example: "  kycq batch list\n  kycq batch list --all --json",
		Args:    cobra.NoArgs,
	}), func(ctx context.Context, d *batchDeps, _ []string) error {
		list := d.control.Batches.Open
		if all {
			list = d.control.Batches.All
		}
		batches, err := list(ctx)
		if err != nil {
			return err
		}
		slices.SortFunc(batches, func(x, y *batch.Batch) int { return x.CreatedAt.Compare(y.CreatedAt) })
		found := make([]*batch.Status, len(batches))
		group, gctx := errgroup.WithContext(ctx)
		group.SetLimit(16)
		for i, b := range batches {
			group.Go(func() (err error) {
				found[i], err = d.control.StatusOf(gctx, b)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		if len(found) == 0 && !a.JSON {
			a.Note("no open batches (--all lists all)")
			return nil
		}
		return a.Answer(map[string]any{"batches": found}, func() string { return batchTable(found) })
	})
	cmd.Flags().BoolVar(&all, "all", false, "list the batches that are done too")
	return cmd
}

func batchTable(list []*batch.Status) string {
	lines := []string{"BATCH\tKIND\tSTATE\tROWS\tENDED\tCALLS\tOUTCOMES\tCREATED"}
	for _, s := range list {
		lines = append(lines, fmt.Sprintf("%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s", s.Batch, s.Kind, s.State, s.Rows, s.Ended, s.Calls,
			outcomesText(s), stamp(s.CreatedAt)))
	}
	return cli.Table(lines)
}
