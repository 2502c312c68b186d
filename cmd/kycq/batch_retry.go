package main

import (
	"context"
	"fmt"
	"regexp"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/cli"
)

// retryFlags say which rows run again.
type retryFlags struct {
	batch.Selection
	maxCalls int
	given    bool // --max-calls
	yes      bool
	progress string
}

func newBatchRetry(a *app) *cobra.Command {
	var f retryFlags
	cmd := &cobra.Command{
		Use:   "retry BATCH",
		Short: "run rows of a batch again, and pay for them again",
		Long: `retry begins the next run of the rows that are chosen by --code, --failed, --invalid or --lost, after saying how many
there are. --failed leaves out the rows whose answer was lost after a call that may have been charged: --lost buys those
again. Calls of a further run go out under a derived verification_id.

Without a choice, retry goes on with a batch that is paused at its cap of calls: with --max-calls N as the new cap, else
with as many calls again.`,
		Example: `  kycq batch retry customers-1f00c3aa --failed
  kycq batch retry customers-1f00c3aa --code provider_error --yes
  kycq batch retry customers-1f00c3aa --max-calls 5000`,
		Args: oneBatch,
	}
	cmd = a.batchCommand(cmd, func(ctx context.Context, d *batchDeps, args []string) error {
		f.given = cmd.Flags().Changed("max-calls")
		return a.retryBatch(ctx, d, args[0], f)
	})
	flags := cmd.Flags()
	flags.StringVar(&f.Code, "code", "", "rows that ended with this code")
	flags.BoolVar(&f.Failed, "failed", false, "rows that failed, but for lost answers")
	flags.BoolVar(&f.Invalid, "invalid", false, "rows that Cashfree found invalid")
	flags.BoolVar(&f.Lost, "lost", false, "rows whose answer was lost (they may have been charged)")
	flags.IntVar(&f.maxCalls, "max-calls", 0, "new cap of calls of the batch; 0: no cap")
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	addProgressFlag(cmd, &f.progress)
	cmd.MarkFlagsMutuallyExclusive("code", "failed", "invalid", "lost")
	return cmd
}

// codeForm is what codes look like, so that one can go into the audit trail.
var codeForm = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

func (a *app) retryBatch(ctx context.Context, d *batchDeps, id string, f retryFlags) error {
	if f.Code != "" && !codeForm.MatchString(f.Code) {
		return cli.Usagef("--code: want a code as reports show it")
	}
	if f.maxCalls < 0 {
		return cli.Usagef("--max-calls: must be 0 (no cap) or more")
	}
	b, err := d.control.Batches.Load(ctx, id)
	if err != nil {
		return err
	}
	if b.State == batch.Cancelled {
		return batch.ErrCancelled
	}
	if f.Selection == (batch.Selection{}) {
		return a.raiseCap(ctx, d, b, f)
	}
	shown, err := a.newProgress(f.progress)
	if err != nil {
		return cli.UsageError(err)
	}
	defer shown.Close()
	shown.Begin("reading records", int64(b.Rows), "rows")
	seen := 0
	selected, err := d.control.Select(ctx, b, batch.PartsOf(d.store, d.keyset, b), d.client, f.Selection, func(n int) {
		shown.Add(int64(n - seen))
		seen = n
	})
	if err != nil {
		return err
	}
	shown.Pause()
	rows := selected.Rows
	if len(rows) == 0 {
		a.Note("no row of the batch is meant by that: nothing was done")
		return a.printRetry(id, 0)
	}
	if err := a.confirm(f.yes, "%d rows run again: at least as many calls, each paid for. Go on?", len(rows)); err != nil {
		return err
	}
	detail := map[string]string{"rows": strconv.Itoa(len(rows)), "choice": f.choice()}
	if err := a.enterBatch(ctx, d, "batch.retry", b, detail); err != nil {
		return err
	}
	if f.given {
		if _, err := d.control.SetMaxCalls(ctx, id, f.maxCalls); err != nil {
			return err
		}
	}
	if _, err := d.control.Retry(ctx, id, rows, f.Selection.String()); err != nil {
		return err
	}
	a.Note("next: kycq batch watch %s", id)
	return a.printRetry(id, len(rows))
}

// choice is the selection as a word of the audit trail.
func (f *retryFlags) choice() string {
	if f.Code != "" {
		return "code:" + f.Code
	}
	return f.Selection.String()
}

func (a *app) printRetry(id string, rows int) error {
	if a.JSON {
		return a.PrintJSON(map[string]any{"batch": id, "rows": rows})
	}
	return a.Print("%s: %d rows run again\n", id, rows)
}

// raiseCap goes on with a batch that has made all calls that it may.
func (a *app) raiseCap(ctx context.Context, d *batchDeps, b *batch.Batch, f retryFlags) error {
	limit := f.maxCalls
	switch {
	case f.given:
	case b.State == batch.CallLimitReached:
		st, err := d.control.StatusOf(ctx, b)
		if err != nil {
			return err
		}
		limit = st.Calls + b.MaxCalls
	default:
		return cli.Usagef("choose the rows: --code CODE, --failed, --invalid or --lost")
	}
	question := "the batch may make %d calls in all from now on. Go on?"
	if limit == 0 {
		question = "the batch may make any number of calls from now on (%d: no cap). Go on?"
	}
	if err := a.confirm(f.yes, question, limit); err != nil {
		return err
	}
	if err := a.enterBatch(ctx, d, "batch.max_calls", b, map[string]string{"max_calls": strconv.Itoa(limit)}); err != nil {
		return err
	}
	if _, err := d.control.SetMaxCalls(ctx, b.ID, limit); err != nil {
		return err
	}
	if a.JSON {
		return a.PrintJSON(map[string]any{"batch": b.ID, "max_calls": limit})
	}
	return a.Print("%s: at most %s calls\n", b.ID, capText(limit))
}

func capText(limit int) string {
	if limit == 0 {
		return "any number of"
	}
	return fmt.Sprint(limit)
}
