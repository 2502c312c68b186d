package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/access"
	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/internal/sleep"
)

func newStorage(a *app) *cobra.Command {
	return a.Group(&cobra.Command{Use: "storage", Short: "prepare the buckets"}, newStorageInit(a), newStoragePolicy(a), newStorageAdopt(a))
}

func newStorageInit(a *app) *cobra.Command {
	var wait time.Duration
	cmd := a.command(&cobra.Command{
		Use:   "init",
		Short: "create missing buckets and check the store",
		Long: `init creates the inbox, masked and records buckets if missing, lets objects in the inbox expire after 30 days (if the
server supports lifecycle rules), and checks that the store honours conditional writes, which prevent paying twice. It can
be repeated and changes nothing that exists. The first worker, not init, ties the buckets to its Redis and account.

Credentials come from the AWS chain (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, profiles, roles).`,
		Example: `  AWS_ACCESS_KEY_ID=minioadmin AWS_SECRET_ACCESS_KEY=minioadmin kycq storage init --s3-endpoint http://127.0.0.1:9000`,
		Args:    cobra.NoArgs,
	}, storeAreas, func(ctx context.Context, d *deps, _ []string) error {
		steps, err := initStore(ctx, d.store.Buckets(), wait)
		if printErr := a.Answer(map[string]any{"steps": steps}, func() string { return describeSteps(steps) }); printErr != nil {
			return printErr
		}
		if err != nil {
			return fmt.Errorf("storage init: %w", err)
		}
		a.Note("the store is ready")
		return nil
	})
	cmd.Flags().DurationVar(&wait, "wait", 0, "how long to wait for a store that is not reachable yet")
	return cmd
}

func newStoragePolicy(a *app) *cobra.Command {
	return a.command(&cobra.Command{
		Use:   "policy ROLE",
		Short: "print the IAM policy that a role needs",
		Long: `policy prints an IAM policy of the buckets for a role: ` + strings.Join(roleNames(), ", ") + `. It allows what the role needs
and nothing else. Images in buckets of your own, and the keys of KYCQ_S3_SSE=aws:kms, need further permissions.

The command connects to nothing. deploy/s3 has the policies for the default names of the buckets, deploy/redis/users.acl the
users of Redis.`,
		Example:   `  kycq storage policy worker > worker.json`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: roleNames(),
	}, storeAreas, func(_ context.Context, d *deps, args []string) error {
		cfg := d.store.Config()
		return a.Print("%s", access.Policy(access.S3(access.Role(args[0])), map[string]string{
			access.Inbox: cfg.InboxBucket, access.Masked: cfg.MaskedBucket, access.Records: cfg.RecordsBucket,
		}))
	})
}

// initPause is the time between attempts to reach a store that is still starting.
const initPause = time.Second

// initStore retries for the given time while the store is unreachable.
func initStore(ctx context.Context, store *objects.Buckets, wait time.Duration) ([]objects.InitStep, error) {
	for deadline := time.Now().Add(wait); ; {
		steps, err := store.Init(ctx)
		if err == nil {
			err = store.SelfTest(ctx)
		}
		if !errors.Is(err, objects.ErrUnreachable) || !time.Now().Before(deadline) {
			return steps, err
		}
		if err := sleep.For(ctx, initPause); err != nil {
			return steps, err
		}
	}
}

func describeSteps(steps []objects.InitStep) string {
	var text strings.Builder
	for _, s := range steps {
		state := "created"
		if s.Existed {
			state = "exists"
		}
		if s.Warning != "" {
			state = s.Warning
		}
		_, _ = fmt.Fprintf(&text, "%-10s %-24s %s\n", s.What, s.Bucket, state)
	}
	return text.String()
}
