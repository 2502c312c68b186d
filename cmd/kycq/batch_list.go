package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/blocked"
	"github.com/kycq/kycq/internal/cli"
)

func newBatchList(a *app) *cobra.Command {
	var all bool
	cmd := a.batchCommand(tolerant(&cobra.Command{
		Use:     "list",
		Short:   "list open batches, or all",
		Example: "  kycq batch list\n  kycq batch list --all --json",
		Args:    cobra.NoArgs,
	}), func(ctx context.Context, d *batchDeps, _ []string) error {
		fleet, err := d.fleet(ctx)
		if err != nil {
			return err
		}
		found, err := listBatches(ctx, d.control, fleet, all)
		if err != nil {
			return err
		}
		if len(found) == 0 && !a.JSON {
			text := "no open batches (--all lists all)"
			if all {
				text = "no batches"
			}
			a.Note("%s", text)
			return nil
		}
		return a.Answer(map[string]any{"batches": found}, func() string { return batchTable(found) + blockedBatches(found) })
	})
	cmd.Flags().BoolVar(&all, "all", false, "list the batches that are done too")
	return cmd
}

// listBatches returns the open batches, or all, oldest first.
func listBatches(ctx context.Context, control *batch.Control, fleet *blocked.Fleet, all bool) ([]*batchStatus, error) {
	list := control.Batches.Open
	if all {
		list = control.Batches.All
	}
	batches, err := list(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(batches, func(x, y *batch.Batch) int { return x.CreatedAt.Compare(y.CreatedAt) })
	found := make([]*batchStatus, len(batches))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i, b := range batches {
		group.Go(func() error {
			s, err := control.StatusOf(gctx, b)
			if err == nil {
				found[i], err = newStatus(fleet, s)
			}
			return err
		})
	}
	return found, group.Wait()
}

func batchTable(list []*batchStatus) string {
	lines := []string{"BATCH\tKIND\tSTATE\tROWS\tENDED\tCALLS\tOUTCOMES\tCREATED"}
	for _, s := range list {
		lines = append(lines, fmt.Sprintf("%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s", s.Batch, s.Kind, s.State, s.Rows, s.Ended, s.Calls,
			outcomesText(s.Status), stamp(s.CreatedAt)))
	}
	return cli.Table(lines)
}

// blockedBatches has a line for each blocked batch.
func blockedBatches(list []*batchStatus) (text string) {
	for _, s := range list {
		if s.Blocked != nil {
			text += s.Batch + " " + s.Blocked.Line() + "\n"
		}
	}
	return text
}
