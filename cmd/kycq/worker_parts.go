package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/admin"
	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/janitor"
	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/internal/metrics"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
	"github.com/kycq/kycq/worker"
)

// fleet is everything that one worker process is made of.
type fleet struct {
	redis   redis.UniversalClient
	store   *storage.Store
	client  *tasks.Client
	vendor  *cashfree.Client
	gate    *gate.Gate
	server  *worker.Server
	sweeper *worker.Sweeper
	janitor *janitor.Janitor
	feeder  *batch.Feeder
	metrics *metrics.Metrics
	admin   *admin.Handler
}

// openFleet builds the parts of a worker without taking a job.
func openFleet(ctx context.Context, cfg *config.Config, log zerolog.Logger) (*fleet, error) {
	keyset, err := openKeyset(cfg)
	if err != nil {
		return nil, err
	}
	vendor, err := openVendor(cfg)
	if err != nil {
		return nil, err
	}
	store, err := openStore(ctx, cfg)
	if err != nil {
		return nil, err
	}
	rdb, err := openRedis(ctx, cfg)
	if err != nil {
		return nil, err
	}
	f := &fleet{redis: rdb, store: store, vendor: vendor}
	if err := f.assemble(cfg, keyset, log); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// feedQueue holds one task for each batch that is being fed.
const feedQueue = batch.Queue

// gateLead lets a call's intent be written while its slot comes near.
const gateLead = 250 * time.Millisecond

func (f *fleet) assemble(cfg *config.Config, keyset *tasks.Keyset, log zerolog.Logger) error {
	var err error
	if f.client, err = tasks.NewClient(tasks.ClientConfig{Redis: f.redis, Ledger: f.store, Keyset: keyset}); err != nil {
		return err
	}
	if f.gate, err = openGate(f.redis, cfg, log); err != nil {
		return err
	}
	if err := f.openAdmin(); err != nil {
		return err
	}
	feeder, board := newFeeder(f.redis, f.store, keyset, f.client, f.gate, log)
	f.feeder = feeder
	queues := worker.NewQueuePause(f.redis)
	processor, err := worker.NewProcessor(worker.Parts{
		Records: f.store, Images: f.store, MaskedImages: f.store, Vendor: f.vendor, Gate: f.gate, Keyset: keyset,
		CheckMask: maskcheck.Check, Hints: redisx.NewHints(f.redis), Batches: board, Observer: f.metrics,
		OnHold: func(ctx context.Context, _ gate.Hold) {
			if err := queues.Pause(ctx); err != nil {
				log.Warn().Err(err).Msg("the queues are not paused yet: the gate is closed all the same")
			}
		},
		Log: log,
	}, policyOf(cfg))
	if err != nil {
		return usageError(err)
	}
	f.server = worker.NewServer(worker.ServerConfig{
		Redis: f.redis, Processor: processor, LiveConcurrency: cfg.LiveConcurrency,
		BulkConcurrency: map[tasks.Kind]int{tasks.Aadhaar: cfg.AadhaarConcurrency, tasks.Passport: cfg.PassportConcurrency},
		ShutdownTimeout: shutdownTimeout(cfg.CashfreeTimeout), Log: log,
	})
	f.janitor = janitor.New(f.redis, append(tasks.Queues(), feedQueue), log)
	f.sweeper = &worker.Sweeper{
		Processor: processor, Records: f.store, Listing: f.store, OpenSet: redisx.NewOpenSet(f.redis), Epoch: redisx.NewEpoch(f.redis),
		Leader: redisx.NewLeader(f.redis, "sweep", 2*worker.SweepEvery), Push: f.client.Push, EnsureFeeds: f.feeder.ScheduleAll,
		SyncQueues: func(ctx context.Context) error { return queues.Sync(ctx, f.gate) },
		Housekeep:  f.janitor.Run, Log: log,
	}
	return nil
}

// Close lets go of all connections.
func (f *fleet) Close() {
	if f.gate != nil {
		f.gate.Close()
	}
	f.vendor.Close()
	_ = f.redis.Close()
}

func openVendor(cfg *config.Config) (*cashfree.Client, error) {
	vendor, err := cashfree.New(cashfree.Config{
		URL: cfg.CashfreeURL, ClientID: cfg.CashfreeClientID, ClientSecret: cfg.CashfreeClientSecret,
		PublicKeyPEM: cfg.CashfreePublicKey, Timeout: cfg.CashfreeTimeout, ImageHosts: cfg.ImageHosts,
		UserAgent: "kycq/" + readBuild().Version, Proxy: http.ProxyFromEnvironment,
	})
	if err != nil {
		return nil, usageError(err)
	}
	return vendor, nil
}

func openGate(rdb redis.UniversalClient, cfg *config.Config, log zerolog.Logger) (*gate.Gate, error) {
	aadhaar, aerr := gate.ParseRate(cfg.AadhaarRate)
	passport, perr := gate.ParseRate(cfg.PassportRate)
	if err := errors.Join(aerr, perr); err != nil {
		return nil, usageError(err)
	}
	return gate.New(gate.Config{
		Redis: rdb, Lead: gateLead, Log: log,
		Rates: map[string]gate.Rate{string(tasks.Aadhaar): aadhaar, string(tasks.Passport): passport},
	})
}

func policyOf(cfg *config.Config) worker.Policy {
	codes := cfg.RetryCodes
	if codes == nil {
		codes = []int{}
	}
	return worker.Policy{
		MaxAttempts: cfg.MaxAttempts, RetryCodes: codes, RetryBase: cfg.RetryBase, RetryMax: cfg.RetryMax,
		FailOnAccountError: cfg.OnAccountError == "fail", ReissueLostAnswers: cfg.OnLostAnswer == "reissue",
		ReissuesPerDay: cfg.ReissuesPerDay, CallTimeout: cfg.CashfreeTimeout,
	}
}
