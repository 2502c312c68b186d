package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/sleep"
	"github.com/kycq/kycq/storage"
)

func newJobWait(a *app) *cobra.Command {
	var name jobName
	var timeout time.Duration
	cmd := a.command(&cobra.Command{
		Use:   "wait ID",
		Short: "wait for a job's outcome",
		Long: `wait prints a job's record once it is final. Exit code 0: the outcome is valid; 3: it is invalid, failed or cancelled;
1: timeout.`,
		Example: "  kycq job wait ABC00123\n  kycq job wait ABC00123 --timeout 30s --json",
	}, storeAreas, func(ctx context.Context, d *deps, _ []string) error {
		rec, err := a.waitForRecord(ctx, d.store, name, timeout)
		if err != nil {
			return err
		}
		if err := a.printRecord(rec); err != nil {
			return err
		}
		if rec.State != storage.StateValid {
			return cli.Exit(cli.ExitSomeFailed)
		}
		return nil
	})
	name.register(cmd)
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Minute, "give up after this time; 0: never")
	return cmd
}

// waitForRecord returns the final record, and notes each new state. It retries while S3 is unreachable.
func (a *app) waitForRecord(ctx context.Context, store *storage.Store, name jobName, timeout time.Duration) (*storage.Record, error) {
	last := "not read yet"
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	rec, err := name.find(ctx, store)
	for errors.Is(err, storage.ErrUnreachable) {
		if ended := sleep.For(ctx, time.Second); ended != nil {
			return nil, fmt.Errorf("%w: %w", ended, err)
		}
		rec, err = name.find(ctx, store)
	}
	if err != nil {
		return nil, err
	}
	for rec, err = range store.Watch(ctx, rec.Kind, name.id) {
		switch {
		case err == nil && rec.State.Final():
			return rec, nil
		case err == nil:
			a.noteState(rec, &last)
		case errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, storage.ErrUnreachable):
			return nil, fmt.Errorf("%s is not final after %s (%s): wait again, or see kycq fleet status", name.id, timeout, last)
		}
	}
	return nil, err
}

// noteState notes each new state once.
func (a *app) noteState(rec *storage.Record, last *string) {
	state := string(rec.State)
	if rec.State == storage.StateWaiting && rec.Reason != "" {
		state += " (" + rec.Reason + ")"
	}
	if state != *last {
		*last = state
		a.Note("%s %s: %s", rec.Kind, rec.VerificationID, state)
	}
}
