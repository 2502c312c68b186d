package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/wire"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func newJobWait(a *app) *cobra.Command {
	var name jobName
	var timeout time.Duration
	cmd := cli.Uses(&cobra.Command{
		Use:   "wait ID",
		Short: "wait until a job has its outcome",
		Long: `wait prints the record of a job as soon as it is final. Exit code 0 where the outcome is valid, 3 where it is invalid,
failed or cancelled, 1 where the time is over before.`,
		Example: "  kycq job wait ABC00123\n  kycq job wait ABC00123 --timeout 30s --json",
		Args:    oneID,
		RunE: a.Command(func(cmd *cobra.Command, args []string) error {
			cfg, err := a.Settings(cmd)
			if err != nil {
				return err
			}
			kinds, err := name.kinds()
			if err != nil {
				return err
			}
			store, err := wire.OpenStore(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			rec, err := a.waitForRecord(cmd.Context(), store, kinds, args[0], timeout)
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

// waitForRecord returns the record when it is final. It keeps trying while S3 is unreachable; an unknown id is an error
// at once.
func (a *app) waitForRecord(parent context.Context, store *storage.Store, kinds []tasks.Kind, id string, timeout time.Duration) (*storage.Record, error) {
	ctx := parent
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(parent, timeout)
		defer cancel()
	}
	last := "not read yet"
	rec, err := findRecord(ctx, patientReader{store}, kinds, id)
	if err == nil {
		for rec, err = range store.Watch(ctx, rec.Kind, id) {
			if err == nil {
				a.tellState(rec, &last)
			}
		}
	}
	if errors.Is(err, context.DeadlineExceeded) && parent.Err() == nil && !errors.Is(err, storage.ErrUnreachable) {
		err = fmt.Errorf("%s is not final after %s (%s)", id, timeout, last)
	}
	return rec, err
}

// patientReader reads records, and retries while S3 is unreachable.
type patientReader struct{ store *storage.Store }

func (p patientReader) Record(ctx context.Context, kind tasks.Kind, id string) (*storage.Record, storage.Version, error) {
	for rec, err := range p.store.Watch(ctx, kind, id) {
		return rec, storage.Version{}, err
	}
	return nil, storage.Version{}, ctx.Err()
}

// tellState prints the state of an unfinished job if it has changed.
func (a *app) tellState(rec *storage.Record, last *string) {
	state := string(rec.State)
	if rec.State == storage.StateWaiting && rec.Reason != "" {
		state += " (" + rec.Reason + ")"
	}
	if state != *last && !rec.State.Final() {
		*last = state
		a.Note("%s %s: %s", rec.Kind, rec.VerificationID, state)
	}
}
