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

func newJob(a *app) *cobra.Command {
	return a.Group(&cobra.Command{Use: "job", Short: "look at single jobs, run them again, find lost ones"}, newJobShow(a), newJobWait(a), newJobRetry(a), newJobReconcile(a))
}

// jobName is how a command names a job. Ids are unique per kind, so the kind can mostly be left out.
type jobName struct{ kind string }

func (n *jobName) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&n.kind, "kind", "", "aadhaar or passport; needed only where both have the id")
	_ = cmd.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions([]string{string(tasks.Aadhaar), string(tasks.Passport)}, cobra.ShellCompDirectiveNoFileComp))
}

func (n *jobName) kinds() ([]tasks.Kind, error) {
	if n.kind == "" {
		return tasks.Kinds(), nil
	}
	kind, err := tasks.ParseKind(n.kind)
	if err != nil {
		return nil, cli.Usagef("--kind: %w", err)
	}
	return []tasks.Kind{kind}, nil
}

// recordReader reads records; *storage.Store is one.
type recordReader interface {
	Record(ctx context.Context, kind tasks.Kind, id string) (*storage.Record, storage.Version, error)
}

// findRecord looks an id up under each kind. An id that both have is an error that names --kind.
func findRecord(ctx context.Context, store recordReader, kinds []tasks.Kind, id string) (*storage.Record, error) {
	var found *storage.Record
	for _, kind := range kinds {
		rec, _, err := store.Record(ctx, kind, id)
		switch {
		case errors.Is(err, storage.ErrNotFound):
			continue
		case err != nil:
			return nil, err
		case found != nil:
			return nil, cli.Usagef("%s is the id of a job of each kind: choose one with --kind %s or --kind %s", id, found.Kind, kind)
		}
		found = rec
	}
	if found == nil {
		return nil, fmt.Errorf("no job %s: %w", id, storage.ErrNotFound)
	}
	return found, nil
}

// oneID is the argument check of commands that take a verification_id.
func oneID(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return errors.New("name one verification_id")
	}
	return tasks.ValidateID(args[0])
}
