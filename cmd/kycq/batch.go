package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/logx"
	"github.com/kycq/kycq/internal/printable"
)

func newBatch(a *app) *cobra.Command {
	return a.Group(&cobra.Command{Use: "batch", Short: "run backfills from CSV or JSONL files"},
		newBatchSubmit(a), newBatchList(a), newBatchStatus(a), newBatchWatch(a), newBatchReport(a), newBatchFailures(a), newBatchImages(a),
		newBatchRetry(a), newBatchPause(a), newBatchResume(a), newBatchCancel(a), newBatchAmend(a))
}

// batchDeps is what the batch commands work with.
type batchDeps struct {
	*deps
	control *batch.Control
}

func (d *batchDeps) partsOf(b *batch.Batch) *batch.Parts { return batch.PartsOf(d.store, d.keyset, b) }

// batchCommand makes fn the code of cmd. If the argument of cmd is a batch, fn is called with its id, of which a beginning is
// enough.
func (a *app) batchCommand(cmd *cobra.Command, fn func(ctx context.Context, d *batchDeps, args []string) error) *cobra.Command {
	about := strings.HasSuffix(cmd.Use, batchArgument)
	if about {
		cmd.ValidArgsFunction = a.completeBatch
	}
	return a.command(cmd, batchAreas, func(ctx context.Context, d *deps, args []string) error {
		bd := &batchDeps{d, batch.NewControl(d.redis, d.store)}
		if about {
			id, err := findBatch(ctx, bd.control.Batches, args[0])
			if err != nil {
				return batchError(err)
			}
			args = []string{id}
		}
		return batchError(fn(ctx, bd, args))
	})
}

// batchError gives errors that the user can fix the exit code of usage.
func batchError(err error) error {
	var file *manifest.FileError
	switch {
	case errors.As(err, &file):
		return cli.UsageError(err)
	case errors.Is(err, batch.ErrNotFound):
		return cli.NotFound(err, "check the id: `kycq batch list --all` lists the batches")
	}
	for _, usage := range []error{
		batch.ErrOtherManifest, batch.ErrCancelled, batch.ErrStillOpen, batch.ErrDone, batch.ErrNotPaused,
	} {
		if errors.Is(err, usage) {
			return cli.UsageError(err)
		}
	}
	return err
}

// oneBatch checks the argument of a command about one batch.
func oneBatch(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return cli.Usagef("want one batch id, or its beginning (kycq batch list)")
	}
	return batch.CheckPrefix(args[0])
}

// auditBatch writes the audit event of what is about to be done to a batch.
func auditBatch(ctx context.Context, d *batchDeps, action string, b *batch.Batch, detail map[string]string) error {
	return auditBatchWhy(ctx, d, action, b, detail, "")
}

func auditBatchWhy(ctx context.Context, d *batchDeps, action string, b *batch.Batch, detail map[string]string, reason string) error {
	return d.appendAudit(ctx, audit.Act{Action: action, Kind: string(b.Kind), Batch: b.ID, Reason: reason, Detail: detail})
}

// confirm asks at a terminal. A script, or a command with --json, needs --yes.
func (a *app) confirm(yes bool, format string, args ...any) error {
	if yes {
		return nil
	}
	text := fmt.Sprintf(format, args...)
	in, ok := a.In.(io.Writer)
	if a.JSON || !ok || !logx.IsTerminal(in) {
		return cli.Usagef("%s: add --yes", text)
	}
	_, _ = fmt.Fprintf(a.Err, "%s. Continue? [y/N] ", printable.Text(text))
	answer, err := bufio.NewReader(a.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if word := strings.ToLower(strings.TrimSpace(answer)); word != "y" && word != "yes" {
		return cli.Usagef("not confirmed; nothing changed")
	}
	return nil
}

// interrupted says how to continue if err came from an interrupt.
func (a *app) interrupted(ctx context.Context, err error, command string) error {
	if err != nil && ctx.Err() != nil {
		a.Note("interrupted; no data was lost. To continue, run:\n  %s", command)
		return context.Canceled
	}
	return err
}
