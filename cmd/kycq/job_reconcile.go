package main

import (
	"context"

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
		Short: "rebuild what Redis should know from the records in S3",
		Long: `reconcile lists every record, and makes sure that each job that is not final is known to Redis and has a task. Workers do
so by themselves when Redis has lost its data; it may run at any time, beside them, and as often as you like.`,
		Example: "  kycq job reconcile\n  kycq job reconcile --json",
		Args:    cobra.NoArgs,
		RunE: a.Command(func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.Settings(cmd)
			if err != nil {
				return err
			}
			p, err := openProducer(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer p.Close()
			return a.reconcile(cmd.Context(), p)
		}),
	}, config.Redis, config.S3, config.Sealing)
}

func (a *app) reconcile(ctx context.Context, p *producer) error {
	sweeper := &worker.Sweeper{
		Records: p.store, Listing: p.store, OpenSet: redisx.NewOpenSet(p.redis), Push: p.client.Push, Log: zerolog.Nop(),
	}
	found, err := sweeper.Reconcile(ctx)
	if err != nil {
		return err
	}
	if a.JSON {
		return a.PrintLine(found)
	}
	return a.Print("%d records, %d of them open, %d enqueued again\n", found.Records, found.Open, found.Enqueued)
}
