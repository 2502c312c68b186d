package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/batch"
)

func newBatchList(a *app) *cobra.Command {
	var all bool
	cmd := a.batchCommand(&cobra.Command{
		Use:     "list",
		Short:   "list the batches that are not done, or all",
		Example: "  kycq batch list\n  kycq batch list --all --json",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, d *batchDeps, _ []string) error {
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
		if a.JSON {
			return a.PrintJSON(map[string]any{"batches": found})
		}
		if len(found) == 0 {
			a.Note("no batch is open (--all lists those that are done)")
			return nil
		}
		return a.Print("%s", describeBatches(found))
	})
	cmd.Flags().BoolVar(&all, "all", false, "list the batches that are done too")
	return cmd
}

func describeBatches(list []*batch.Status) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "BATCH\tKIND\tSTATE\tROWS\tENDED\tCALLS\tOUTCOMES\tCREATED")
	for _, s := range list {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\n", s.Batch, s.Kind, s.State, s.Rows, s.Ended, s.Calls,
			describeOutcomes(s), stamp(s.CreatedAt))
	}
	_ = w.Flush()
	return text.String()
}

// describeOutcomes names what rows came to, in the order in which records do.
func describeOutcomes(s *batch.Status) string {
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
