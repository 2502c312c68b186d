package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/redisx"
)

func newWorker(a *app) *cobra.Command {
	return uses(&cobra.Command{
		Use:   "worker",
		Short: "work through the queues until stopped",
		Long: `worker takes jobs from the four queues (aadhaar-live, aadhaar-bulk, passport-live, passport-bulk), calls Cashfree at
the fleet's common rate, and brings every job to its final record. Start as many as you like: they share one rate, and
one of them sweeps for jobs that nobody drives.

SIGTERM or Ctrl-C: nothing more is fetched, jobs that wait go back unharmed, calls in flight are finished and recorded.`,
		Example: `  kycq worker
  kycq worker --aadhaar-rate 200/m --listen 127.0.0.1:9080
  KYCQ_REDIS_URL=rediss://redis:6379/0 KYCQ_KEYSET_FILE=/run/secrets/keyset kycq worker`,
		Args: cobra.NoArgs,
		RunE: a.command(func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.settings(cmd)
			if err != nil {
				return err
			}
			return a.work(cmd.Context(), cfg)
		}),
	}, config.Redis, config.S3, config.Cashfree, config.Sealing, config.Rates, config.Work, config.Listen, config.Log)
}

// work checks what cannot work before it takes the first job, then works until ctx ends.
func (a *app) work(ctx context.Context, cfg *config.Config) error {
	log, err := a.logger(cfg)
	if err != nil {
		return err
	}
	if err := cfg.RequireCredentials(); err != nil {
		return err
	}
	f, err := openFleet(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := checkRedis(ctx, f.redis, cfg.AllowVolatileRedis, log); err != nil {
		return err
	}
	if err := f.store.Probe(ctx); err != nil {
		return err
	}
	l, err := a.listen(ctx, cfg.Listen, workerListen)
	if err != nil {
		return err
	}
	defer f.serveAdmin(ctx, l, log)()
	log.Info().Str("version", readBuild().String()).Msg("worker started")
	err = f.Run(ctx)
	log.Info().Msg("worker stopped")
	return err
}

// checkRedis refuses a server that loses jobs, and warns of one that might.
func checkRedis(ctx context.Context, client redis.UniversalClient, allowVolatile bool, log zerolog.Logger) error {
	findings, err := redisx.Check(ctx, client)
	if err != nil {
		return err
	}
	var refused []error
	for _, f := range findings {
		if f.Refuse && (!f.Volatile || !allowVolatile) {
			refused = append(refused, errors.New(f.String()))
			continue
		}
		log.Warn().Str("finding", f.Code).Str("fix", f.Fix).Msg(f.Message)
	}
	if len(refused) > 0 && !allowVolatile {
		refused = append(refused, fmt.Errorf("for development, --allow-volatile-redis works with it all the same"))
	}
	return errors.Join(refused...)
}

// Run works until ctx ends, in the order in which a worker must stop: the queues first, what serves them after.
func (f *fleet) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var group errgroup.Group
	group.Go(func() error { f.sweeper.Run(background); return nil })
	group.Go(func() error { f.janitor.Watch(background); return nil })
	group.Go(func() error { return f.feeder.Run(ctx) })
	err := f.server.Run(ctx)
	stop()
	return errors.Join(err, group.Wait())
}

// shutdownTimeout covers a call and the writing of its answer.
func shutdownTimeout(callTimeout time.Duration) time.Duration { return callTimeout + 15*time.Second }
