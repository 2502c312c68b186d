package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/sleep"
	"github.com/kycq/kycq/storage"
)

func newJobWait(a *app) *cobra.Command {
	var name jobName
	var timeout time.Duration
	cmd := cli.Uses(&cobra.Command{
		Use:   "wait ID",
		Short: "wait for a job's outcome",
		Long: `wait prints a job's record once it is final. Exit code 0: the outcome is valid; 3: it is invalid, failed or cancelled;
1: timeout.`,
		Example: "  kycq job wait ABC00123\n  kycq job wait ABC00123 --timeout 30s --json",
		RunE: withStore(a, func(ctx context.Context, store *storage.Store, _ []string) error {
			rec, err := a.waitForRecord(ctx, store, name, timeout)
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
		}),
	}, config.S3)
	name.register(cmd)
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Minute, "give up after this time; 0: never")
	return cmd
}

const (
	firstPoll = 200 * time.Millisecond
	lastPoll  = 2 * time.Second
)

// waitForRecord polls until the record is final. It retries while S3 is unreachable, but not if there is no such job.
func (a *app) waitForRecord(parent context.Context, store *storage.Store, name jobName, timeout time.Duration) (*storage.Record, error) {
	ctx := parent
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(parent, timeout)
		defer cancel()
	}
	last := "not read yet"
	for pause := firstPoll; ; pause = min(2*pause, lastPoll) {
		rec, err := name.find(ctx, store)
		switch {
		case err == nil && rec.State.Final():
			return rec, nil
		case err == nil:
			name.kind = string(rec.Kind) // saves the look-up under the other kind
			a.noteState(rec, &last)
		case ctx.Err() == nil && !errors.Is(err, storage.ErrUnreachable):
			return nil, err
		}
		if sleep.For(ctx, pause) == nil {
			continue
		}
		switch {
		case parent.Err() != nil:
			return nil, parent.Err()
		case errors.Is(err, storage.ErrUnreachable):
			return nil, err
		}
		return nil, fmt.Errorf("%s is not final after %s (%s)", name.id, timeout, last)
	}
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
