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
	"github.com/kycq/kycq/internal/wire"
	"github.com/kycq/kycq/storage"
)

func newJobWait(a *app) *cobra.Command {
	var name jobName
	var timeout, patience time.Duration
	cmd := cli.Uses(&cobra.Command{
		Use:   "wait ID",
		Short: "wait for a job's outcome",
		Long: `wait prints a job's record once it is final, and notes each new state and what blocks the job. It waits while S3 cannot be
reached, and exits with 6 after --give-up-after. Exit code 0: the outcome is valid; 3: it is invalid, failed or cancelled;
1: timeout.`,
		Example: "  kycq job wait ABC00123\n  kycq job wait ABC00123 --timeout 30s --json",
		RunE: a.Command(func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.Settings(cmd)
			if err != nil {
				return err
			}
			w := &waiting{app: a, name: name, timeout: timeout, outage: outage{patience: patience, note: a.Note}}
			if w.store, err = wire.OpenStore(cmd.Context(), cfg); err != nil {
				return err
			}
			if w.view, err = newJobView(cfg, w.store); err != nil {
				return err
			}
			defer w.view.Close()
			rec, err := w.record(cmd.Context())
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
	}, config.S3, config.Redis, config.Rates, config.Sealing)
	name.register(cmd)
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Minute, "give up after this time; 0: never")
	addPatienceFlag(cmd, &patience)
	return cmd
}

// waiting waits for the outcome of a job.
type waiting struct {
	app            *app
	store          *storage.Store
	view           *jobView
	name           jobName
	timeout        time.Duration
	outage         outage
	state, blocked string // noted last
}

const (
	firstWaitPause = 100 * time.Millisecond
	maxWaitPause   = 2 * time.Second
)

// record returns the final record.
func (w *waiting) record(ctx context.Context) (*storage.Record, error) {
	if w.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.timeout)
		defer cancel()
	}
	for pause := firstWaitPause; ; pause = min(2*pause, maxWaitPause) {
		rec, err := w.view.find(ctx, w.name)
		if failed := w.outage.pass(ctx, err); failed != nil {
			return nil, w.ended(ctx, failed)
		}
		if err == nil {
			if rec.State.Final() {
				return rec, nil
			}
			w.noteState(rec)
			if pause > time.Second { // what passes at once is not noted
				w.noteBlocked(ctx, rec)
			}
		}
		if ended := sleep.For(ctx, pause); ended != nil {
			return nil, w.ended(ctx, errors.Join(ended, err))
		}
	}
}

// ended explains the error of a timeout.
func (w *waiting) ended(ctx context.Context, err error) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) || cli.Unreachable(err) || w.state == "" {
		return err
	}
	return fmt.Errorf("%s is not final after %s (%s): wait again, or see kycq job show %s", w.name.id, w.timeout, w.state, w.name.id)
}

// noteState notes each new state once.
func (w *waiting) noteState(rec *storage.Record) {
	state := string(rec.State)
	if rec.State == storage.StateWaiting && rec.Reason != "" {
		state += " (" + rec.Reason + ")"
	}
	if state != w.state {
		w.state = state
		w.app.Note("%s %s: %s", rec.Kind, rec.VerificationID, state)
	}
}

// noteBlocked notes each new reason once.
func (w *waiting) noteBlocked(ctx context.Context, rec *storage.Record) {
	message := ""
	reason := w.view.blocked(ctx, rec)
	if reason != nil {
		message = reason.Message
	}
	if message != w.blocked && reason != nil {
		w.app.Note("%s", reason.Line())
	}
	w.blocked = message
}
