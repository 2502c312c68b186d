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
)

func newStorage(a *app) *cobra.Command {
	return a.Group(&cobra.Command{Use: "storage", Short: "prepare the buckets"}, newStorageInit(a))
}

func newStorageInit(a *app) *cobra.Command {
	var wait time.Duration
	cmd := cli.Uses(&cobra.Command{
		Use:   "init",
		Short: "create the buckets that are missing, and check the store",
		Long: `init creates the inbox, masked and records buckets where they are missing, lets the inbox forget uploads after
30 days (where the server supports lifecycles), and makes sure that the store honours conditional writes, without which
kycq could pay twice. It can be repeated: what is there stays as it is.

Credentials come from the AWS chain (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, profiles, roles).`,
		Example: `  AWS_ACCESS_KEY_ID=minioadmin AWS_SECRET_ACCESS_KEY=minioadmin kycq storage init --s3-endpoint http://127.0.0.1:9000`,
		Args:    cobra.NoArgs,
		RunE: a.Command(func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.Settings(cmd)
			if err != nil {
				return err
			}
			store, err := wire.OpenStore(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			steps, err := initStore(cmd.Context(), store, wait)
			if printErr := a.printSteps(steps); printErr != nil {
				return printErr
			}
			if err != nil {
				return fmt.Errorf("storage init: %w", err)
			}
			a.Note("the store is ready")
			return nil
		}),
	}, config.S3)
	cmd.Flags().DurationVar(&wait, "wait", 0, "how long to wait for a store that cannot be reached yet")
	return cmd
}

// initPause is between two looks at a store that is still starting.
const initPause = time.Second

// initStore tries again for as long as it may wait and the store cannot be reached.
func initStore(ctx context.Context, store *storage.Store, wait time.Duration) ([]storage.InitStep, error) {
	for deadline := time.Now().Add(wait); ; {
		steps, err := store.Init(ctx)
		if err == nil {
			err = store.SelfTest(ctx)
		}
		if !errors.Is(err, storage.ErrUnreachable) || !time.Now().Before(deadline) {
			return steps, err
		}
		select {
		case <-ctx.Done():
			return steps, ctx.Err()
		case <-time.After(initPause):
		}
	}
}

func (a *app) printSteps(steps []storage.InitStep) error {
	if a.JSON {
		return a.PrintJSON(map[string]any{"steps": steps})
	}
	for _, s := range steps {
		state := "created"
		if s.Existed {
			state = "was there"
		}
		if s.Warning != "" {
			state = s.Warning
		}
		if err := a.Print("%-10s %-24s %s\n", s.What, s.Bucket, state); err != nil {
			return err
		}
	}
	return nil
}
