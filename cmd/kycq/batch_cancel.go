package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/logx"
)

func newBatchCancel(a *app) *cobra.Command {
	var yes bool
	cmd := a.batchCommand(&cobra.Command{
		Use:   "cancel BATCH",
		Short: "stop the calls of a batch within seconds",
		Long: `cancel stops the calls of a batch within five seconds. Calls in flight end and are recorded; rows that wait become
cancelled. Submitting the same file with --amend goes on where it stopped.`,
		Example: "  kycq batch cancel customers-1f00c3aa",
		Args:    oneBatch,
	}, func(ctx context.Context, d *batchDeps, args []string) error {
		st, b, err := d.control.Status(ctx, args[0])
		if err != nil {
			return err
		}
		if b.Done() && b.State != batch.Cancelled {
			return batch.ErrDone
		}
		if err := a.confirm(yes, "%d of %d rows have not ended: they will not be called. Go on?", st.Rows-st.Ended, st.Rows); err != nil {
			return err
		}
		if err := a.enterBatch(ctx, d, "batch.cancel", b, nil); err != nil {
			return err
		}
		if b, err = d.control.Cancel(ctx, b.ID); err != nil {
			return err
		}
		if a.JSON {
			return a.PrintJSON(map[string]any{"batch": b.ID, "state": b.State})
		}
		a.Note("next: kycq batch watch %s (rows in hand are being closed)", b.ID)
		return a.Print("%s: %s\n", b.ID, b.State)
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

var errNotConfirmed = errors.New("not confirmed: nothing was done")

// confirm asks at a terminal. Elsewhere, and with --json, only --yes will do: a script must mean it.
func (a *app) confirm(yes bool, question string, args ...any) error {
	if yes {
		return nil
	}
	text := fmt.Sprintf(question, args...)
	in, ok := a.In.(io.Writer)
	if a.JSON || !ok || !logx.IsTerminal(in) {
		return cli.Usagef("%s Add --yes to confirm", text)
	}
	_, _ = fmt.Fprintf(a.Err, "%s [y/N] ", text)
	answer, err := bufio.NewReader(a.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if word := strings.ToLower(strings.TrimSpace(answer)); word != "y" && word != "yes" {
		return cli.UsageError(errNotConfirmed)
	}
	return nil
}
