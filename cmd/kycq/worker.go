package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/wire"
)

// workerListen is the default address of the admin listener. It has no login, so a wider one is for closed networks.
const workerListen = "127.0.0.1:8080"

func newWorker(a *app) *cobra.Command {
	return cli.Uses(&cobra.Command{
		Use:   "worker",
		Short: "process jobs until stopped",
		Long: `worker takes jobs from the four queues (aadhaar-live, aadhaar-bulk, passport-live, passport-bulk), calls Cashfree within
the rate that all workers share, and writes each job's record. Start any number of workers; one of them also sweeps for
stalled jobs.

The first worker ties the buckets to its Redis database and Cashfree account (installation.json in the records bucket).
Workers with others are refused; see kycq storage adopt.

On SIGTERM or Ctrl-C a worker fetches no further jobs, returns waiting jobs to their queue, and finishes and records
calls in flight.`,
		Example: `  kycq worker
  kycq worker --aadhaar-rate 200/m --listen 127.0.0.1:9080
  KYCQ_REDIS_URL=rediss://redis:6379/0 KYCQ_KEYSET_FILE=/run/secrets/keyset kycq worker`,
		Args: cobra.NoArgs,
		RunE: a.Command(func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.Settings(cmd)
			if err != nil {
				return err
			}
			return a.work(cmd.Context(), cfg)
		}),
	}, config.Redis, config.S3, config.Cashfree, config.Sealing, config.Rates, config.Audit, config.Retention, config.Work, config.Listen, config.Log)
}

// work checks settings, Redis and the store before it takes the first job.
func (a *app) work(ctx context.Context, cfg *config.Config) error {
	log, err := a.Logger(cfg)
	if err != nil {
		return err
	}
	if err := errors.Join(cfg.RequireCredentials(), cfg.RequireSealing()); err != nil {
		return err
	}
	for _, careless := range cfg.Careless() {
		log.Warn().Msg(careless)
	}
	store, err := wire.OpenStore(ctx, cfg)
	if err != nil {
		return err
	}
	w, err := wire.NewWorker(ctx, cfg, store, a.Build, log)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.Check(ctx, cfg.AllowVolatileRedis); err != nil {
		return err
	}
	if err := w.Install(ctx, func(before, now string) error {
		log.Warn().Str("before", before).Str("now", now).Msg("KYCQ_QR_CHECK has changed")
		return wire.AuditOfWorker(ctx, cfg, store, audit.Act{Action: "settings.qr_check", Detail: map[string]string{"before": before, "now": now}})
	}); err != nil {
		return err
	}
	l, err := a.Listen(ctx, cfg.Listen, workerListen)
	if err != nil {
		return err
	}
	defer w.ServeAdmin(ctx, l)()
	w.LogStart(cfg)
	err = w.Run(ctx)
	log.Info().Msg("worker stopped")
	return err
}
