package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func newEnqueue(a *app) *cobra.Command {
	return a.Group(&cobra.Command{
		Use:   "enqueue",
		Short: "enqueue one job",
		Long: `enqueue validates the input, writes the job's record to S3, and enqueues the job in Redis. Repeating it is safe: a job that
is queued or done is not enqueued again, and nothing is paid twice.`,
	}, newEnqueueAadhaar(a), newEnqueuePassport(a))
}

// jobFlags are the flags of both kinds.
type jobFlags struct{ id, lane string }

func (f *jobFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.id, "id", "", "verification_id: 1 to 50 letters, digits, dots, hyphens and underscores; never to be reused")
	cmd.Flags().StringVar(&f.lane, "lane", string(tasks.Live), "live (an app waits for the result) or bulk")
	_ = cmd.RegisterFlagCompletionFunc("lane", cobra.FixedCompletions([]string{string(tasks.Live), string(tasks.Bulk)}, cobra.ShellCompDirectiveNoFileComp))
}

// job returns a job without input. It does not check the id.
func (f *jobFlags) job(kind tasks.Kind) (tasks.Job, error) {
	if f.id == "" {
		return tasks.Job{}, cli.Usagef("--id is missing: name the job, for example --id ABC00123")
	}
	lane, err := tasks.ParseLane(f.lane)
	if err != nil {
		return tasks.Job{}, cli.Usagef("--lane: %w", err)
	}
	return tasks.Job{Kind: kind, VerificationID: f.id, Lane: lane}, nil
}

// enqueued is the answer of enqueue.
type enqueued struct {
	tasks.Receipt
	Next string `json:"next"` // command to run next
}

func (d *deps) enqueue(ctx context.Context, job tasks.Job) (enqueued, error) {
	return answerOf(d.client.Enqueue(ctx, job))
}

// answerOf completes the answer to a receipt.
func answerOf(receipt tasks.Receipt, err error) (enqueued, error) {
	switch {
	case errors.Is(err, storage.ErrUncertain):
		return enqueued{}, fmt.Errorf("%w (run the command again: no job is enqueued twice)", err)
	case err != nil:
		return enqueued{}, err
	}
	next := "wait"
	if receipt.Status == tasks.AlreadyDone {
		next = "show"
	}
	return enqueued{receipt, fmt.Sprintf("kycq job %s %s --kind %s", next, receipt.VerificationID, receipt.Kind)}, nil
}

func (a *app) printEnqueued(e enqueued) error {
	if a.JSON {
		return a.PrintLine(e)
	}
	state := "queued in " + e.Queue
	switch e.Status {
	case tasks.AlreadyQueued:
		state = "already queued in " + e.Queue
	case tasks.AlreadyDone:
		state = "already done: " + e.Outcome
	case tasks.Enqueued:
	}
	if err := a.Print("%s %s %s\n", e.Kind, e.VerificationID, state); err != nil {
		return err
	}
	a.Note("next: %s", e.Next)
	return nil
}
