package main

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/cli"
)

// retryFlags are the flags of batch retry.
type retryFlags struct {
	batch.Selection
	maxCalls *int // nil if not given
	yes      bool
	progress string
}

func newBatchRetry(a *app) *cobra.Command {
	var f retryFlags
	var maxCalls int
	cmd := &cobra.Command{
		Use:   "retry BATCH",
		Short: "run selected rows of a batch again, at the price of new calls",
		Long: `retry runs the rows selected by --code, --failed, --invalid or --lost again, after showing how many there are. Each row
costs at least one call, under a derived verification_id. --failed leaves out the rows for which a call may have been
charged although its answer did not arrive, whatever their code is; --lost selects them.

A batch that has reached its call limit is continued by kycq batch resume.`,
		Example: `  kycq batch retry customers-1f00c3aa --failed
  kycq batch retry customers-1f00c3aa --code provider_error --yes
  kycq batch retry customers-1f00c3aa --lost --max-calls 5000`,
		Args: oneBatch,
	}
	a.batchCommand(cmd, func(ctx context.Context, d *batchDeps, args []string) error {
		if cmd.Flags().Changed("max-calls") {
			f.maxCalls = &maxCalls
		}
		return a.retryBatch(ctx, d, args[0], f)
	})
	flags := cmd.Flags()
	flags.StringVar(&f.Code, "code", "", "rows that ended with this code")
	completeCode(cmd)
	flags.BoolVar(&f.Failed, "failed", false, "rows that failed, except lost answers")
	flags.BoolVar(&f.Invalid, "invalid", false, "rows that Cashfree found invalid")
	flags.BoolVar(&f.Lost, "lost", false, "rows whose answer was lost (they may have been charged)")
	flags.IntVar(&maxCalls, "max-calls", 0, "new call limit of the batch; 0: none")
	flags.BoolVar(&f.yes, "yes", false, "do not ask for confirmation")
	addProgressFlag(cmd, &f.progress)
	cmd.MarkFlagsMutuallyExclusive("code", "failed", "invalid", "lost")
	return cmd
}

// codeForm is the form of codes; others must not get into the audit trail.
var codeForm = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

func (f *retryFlags) check(id string) error {
	switch {
	case f.Selection == (batch.Selection{}):
		return fmt.Errorf("select rows with --code CODE, --failed, --invalid or --lost (to raise the call limit, run: kycq batch resume %s --max-calls N)", id)
	case f.Code != "" && !codeForm.MatchString(f.Code):
		return fmt.Errorf("--code: want a code as reports show it")
	case f.maxCalls != nil && *f.maxCalls < 0:
		return errMaxCalls
	}
	return nil
}

func (a *app) retryBatch(ctx context.Context, d *batchDeps, id string, f retryFlags) error {
	if err := f.check(id); err != nil {
		return cli.UsageError(err)
	}
	b, err := d.control.Batches.Load(ctx, id)
	if err != nil {
		return err
	}
	if b.State == batch.Cancelled {
		return batch.ErrCancelled
	}
	selected, err := a.selectRows(ctx, d, b, f)
	if err != nil {
		return err
	}
	if gone := selected.InputGone; gone > 0 {
		a.Note("%s cannot run again: kycq has deleted the image after its answer; submit it under a new verification_id", count(gone, "row"))
	}
	n := len(selected.Rows)
	if n == 0 {
		if selected.InputGone == 0 {
			a.Note("no rows match the selection; nothing changed. This batch has: %s", countsText(selected.Codes))
		}
		return a.printRetry(id, 0)
	}
	cost := fmt.Sprintf("this runs %s again (%s or more)", count(n, "row"), count(n, "paid call"))
	if paid := selected.PaidBefore; paid > 0 {
		cost += fmt.Sprintf("; %s may have been charged before", count(paid, "row"))
	}
	if err := a.confirm(f.yes, "%s", cost); err != nil {
		return err
	}
	if f.yes {
		a.Note("%s", cost)
	}
	selection := strings.Replace(f.Selection.String(), "=", ":", 1)
	if err := auditBatch(ctx, d, "batch.retry", b, map[string]string{"rows": strconv.Itoa(n), "choice": selection}); err != nil {
		return err
	}
	if f.maxCalls != nil {
		if _, err := d.control.SetMaxCalls(ctx, id, *f.maxCalls); err != nil {
			return err
		}
	}
	if _, err := d.control.Retry(ctx, id, 0, selected.Rows, f.Selection.String()); err != nil {
		return err
	}
	a.Note("next: kycq batch watch %s", id)
	return a.printRetry(id, n)
}

func (a *app) selectRows(ctx context.Context, d *batchDeps, b *batch.Batch, f retryFlags) (*batch.Selected, error) {
	shown := a.newProgress(f.progress)
	defer shown.Clear()
	shown.Begin("reading records", int64(b.Rows), "rows")
	read := 0
	return d.control.Select(ctx, b, d.partsOf(b), d.client, f.Selection, func(n int) {
		shown.Add(int64(n - read))
		read = n
	})
}

// countsText lists counts by code, the highest first.
func countsText(counts map[string]int) string {
	if len(counts) == 0 {
		return "no rows that could be retried"
	}
	codes := slices.SortedFunc(maps.Keys(counts), func(x, y string) int {
		if n := counts[y] - counts[x]; n != 0 {
			return n
		}
		return strings.Compare(x, y)
	})
	texts := make([]string, len(codes))
	for i, code := range codes {
		texts[i] = fmt.Sprintf("%s %d", code, counts[code])
	}
	return strings.Join(texts, ", ")
}

func (a *app) printRetry(id string, rows int) error {
	return a.Answer(map[string]any{"batch": id, "rows": rows}, func() string {
		return fmt.Sprintf("%s: %s run again\n", id, count(rows, "row"))
	})
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
