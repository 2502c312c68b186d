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
	return a.Group(&cobra.Command{Use: "job", Short: "show, wait for, cancel, retry and reconcile jobs; get their images"},
		newJobShow(a), newJobWait(a), newJobImage(a), newJobCancel(a), newJobRetry(a), newJobReconcile(a))
}

// jobName identifies a job on the command line: by its id, and by --kind if both kinds have a job with this id.
type jobName struct {
	kinds []tasks.Kind // those to search
	id    string
}

// register adds the flag and the argument to cmd.
func (n *jobName) register(cmd *cobra.Command) {
	flag := cmd.Flags().String("kind", "", "aadhaar or passport; needed only if both have the id")
	_ = cmd.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions([]string{string(tasks.Aadhaar), string(tasks.Passport)}, cobra.ShellCompDirectiveNoFileComp))
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return errors.New("name one verification_id")
		}
		n.id, n.kinds = args[0], tasks.Kinds()
		if *flag != "" {
			kind, err := tasks.ParseKind(*flag)
			if err != nil {
				return fmt.Errorf("--kind: %w", err)
			}
			n.kinds = []tasks.Kind{kind}
		}
		return tasks.ValidateID(n.id)
	}
}

// find reads the job's record. If both kinds have the id, it returns a usage error.
func (n *jobName) find(ctx context.Context, store *storage.Store) (*storage.Record, error) {
	var found *storage.Record
	for _, kind := range n.kinds {
		rec, _, err := store.Record(ctx, kind, n.id)
		switch {
		case errors.Is(err, storage.ErrNotFound):
			continue
		case err != nil:
			return nil, err
		case found != nil:
			return nil, cli.Usagef("%s is the id of a job of each kind: choose one with --kind %s or --kind %s", n.id, found.Kind, kind)
		}
		found = rec
	}
	if found == nil {
		what := "job"
		if len(n.kinds) == 1 {
			what = string(n.kinds[0]) + " job"
		}
		return nil, cli.NotFound(fmt.Errorf("no %s %s: %w", what, n.id, storage.ErrNotFound), "check the id and --kind: `kycq batch report BATCH` lists the rows of a batch")
	}
	return found, nil
}
