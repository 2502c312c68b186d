package main

import (
	"context"
	"fmt"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/worker"
)

func newJobReconcile(a *app) *cobra.Command {
	return cli.Uses(&cobra.Command{
		Use:   "reconcile",
		Short: "restore the state in Redis from the records in S3",
		Long: `reconcile lists all records and enqueues each unfinished job that has no task in Redis. Workers do the same when they find
that Redis has lost its data. It is safe to run at any time and repeatedly, also while workers run.`,
		Example: "  kycq job reconcile\n  kycq job reconcile --json",
		Args:    cobra.NoArgs,
		RunE: with(a, openProducer, func(ctx context.Context, p *producer, _ []string) error {
			sweeper := &worker.Sweeper{
				Records: p.store, Listing: p.store, OpenSet: redisx.NewOpenSet(p.redis), Push: p.client.Push, Log: zerolog.Nop(),
			}
			found, err := sweeper.Reconcile(ctx)
			if err != nil {
				return err
			}
			return a.AnswerLine(found, func() string {
				return fmt.Sprintf("%d records, %d of them open, %d enqueued again\n", found.Records, found.Open, found.Enqueued)
			})
		}),
	}, config.Redis, config.S3, config.Sealing)
}
