package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/wire"
	"github.com/kycq/kycq/tasks"
)

// batchArgument ends the Use of a command whose argument is a batch.
const batchArgument = " BATCH"

// completionPatience is how long a shell waits for ids.
const completionPatience = 2 * time.Second

// completeBatch completes the id of a batch. It prints nothing if S3 does not answer.
func (a *app) completeBatch(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
	defer cancel()
	cfg, err := config.Load(config.Sources{Environ: a.Environ, Flags: cmd.Flags()}, config.S3)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	store, err := wire.OpenStore(ctx, cfg)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ids, _ := batch.NewStore(store).IDs(ctx, prefix) // without an answer there are none
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// completeKind completes a command's first argument, a kind, and its second by the given file extensions, if there are any.
func completeKind(extensions ...string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		switch {
		case len(args) == 0:
			return []string{string(tasks.Aadhaar), string(tasks.Passport)}, cobra.ShellCompDirectiveNoFileComp
		case len(args) == 1 && len(extensions) > 0:
			return extensions, cobra.ShellCompDirectiveFilterFileExt
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeCode completes the flag --code of cmd.
func completeCode(cmd *cobra.Command) {
	_ = cmd.RegisterFlagCompletionFunc("code", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return advice.Codes(), cobra.ShellCompDirectiveNoFileComp
	})
}

// findBatch returns the id of the only batch whose id begins with prefix. A whole id is returned as it is.
func findBatch(ctx context.Context, batches *batch.Store, prefix string) (string, error) {
	if batch.CheckID(prefix) == nil {
		return prefix, nil
	}
	ids, err := batches.IDs(ctx, prefix)
	switch {
	case err != nil:
		return "", err
	case len(ids) == 0:
		return "", fmt.Errorf("%s: %w", prefix, batch.ErrNotFound)
	case len(ids) > 1:
		return "", cli.Usagef("%s begins the ids of %d batches: %s", prefix, len(ids), strings.Join(ids, ", "))
	}
	return ids[0], nil
}
