package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/access"
	"github.com/kycq/kycq/internal/admin"
	"github.com/kycq/kycq/internal/asynqx"
	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/clocks"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/digits"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/installation"
	"github.com/kycq/kycq/internal/janitor"
	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/internal/metrics"
	"github.com/kycq/kycq/internal/pauses"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
	"github.com/kycq/kycq/worker"
)

// Worker is a worker process.
type Worker struct {
	Client     *tasks.Client
	DigitCheck string // off, or the version of Tesseract

	redis   redis.UniversalClient
	store   *storage.Store
	batches *batch.Store
	vendor  *countedVendor
	gate    *gate.Gate
	pauses  *pauses.Pauses
	server  *worker.Server
	sweeper *worker.Sweeper
	janitor *janitor.Janitor
	feeder  *batch.Feeder
	metrics *metrics.Metrics
	admin   *admin.Handler
	clocks  *clocks.Watch
	keeper  *installation.Keeper
	qrCheck string
	self    redisx.Worker
	log     zerolog.Logger

	retention *worker.Retention
}

// NewWorker builds a worker on an open store. It connects to Redis, and takes no job before Run.
func NewWorker(ctx context.Context, cfg *config.Config, store *storage.Store, build cli.Build, log zerolog.Logger) (*Worker, error) {
	keyset, err := OpenKeyset(cfg)
	if err != nil {
		return nil, err
	}
	number, err := OpenDigits(ctx, cfg)
	switch {
	case err != nil && cfg.DigitCheck == "require":
		return nil, cli.UsageError(fmt.Errorf("KYCQ_DIGIT_CHECK=require: %w: %s", err, digits.Install))
	case err != nil:
		log.Warn().Err(err).Str("next_action", digits.Install).Msg("digits are not checked")
	}
	vendor, err := OpenVendor(cfg, build)
	if err != nil {
		return nil, err
	}
	rdb, err := OpenRedis(ctx, cfg)
	if err != nil {
		vendor.Close()
		return nil, err
	}
	w := &Worker{
		redis: rdb, store: store, vendor: &countedVendor{Client: vendor}, qrCheck: cfg.QRCheck, log: log, DigitCheck: "off",
	}
	if number != nil {
		w.DigitCheck = number.Version
	}
	w.self = describe(cfg, build, w.DigitCheck)
	if err := w.assemble(cfg, keyset, number, build); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// queues lists the queues of jobs, and that of the feeder (one task per open batch).
func queues() []string { return append(tasks.Queues(), batch.Queue) }

func (w *Worker) assemble(cfg *config.Config, keyset *tasks.Keyset, number *digits.Reader, build cli.Build) error {
	var err error
	if w.Client, err = tasks.NewClient(tasks.ClientConfig{Redis: w.redis, Ledger: w.store, Keyset: keyset, RetryMax: cfg.RetryMax}); err != nil {
		return err
	}
	if w.keeper, err = NewKeeper(cfg, w.redis, w.store, keyset, w.log); err != nil {
		return err
	}
	if w.gate, err = OpenGate(w.redis, cfg, w.keeper.Name, w.log); err != nil {
		return err
	}
	w.pauses = OpenPauses(w.store, w.redis, w.gate, w.log)
	if w.metrics, err = metrics.New(metrics.Config{
		Redis: w.redis, Gate: w.gate, Queues: queues(), BatchStates: stateNames(), Version: build.Version, Commit: build.Commit, DigitCheck: number != nil,
	}); err != nil {
		return err
	}
	w.clocks = clocks.New(func(ctx context.Context) (time.Duration, error) { return redisx.Clock(ctx, w.redis) },
		w.store.Buckets().Clock, w.metrics.ClockCompared, w.log)
	w.admin = admin.New(admin.Config{
		Redis: func(ctx context.Context) string { return redisx.NotReady(ctx, w.redis) },
		Blocked: func() string {
			if w.keeper.Name() == "" {
				return "the installation is not verified: see the log and kycq doctor"
			}
			return w.clocks.Wrong()
		},
		Metrics: w.metrics.Handler(),
	})
	w.retention = NewRetention(cfg, w.redis, w.store, keyset, w.log, func(ctx context.Context, act audit.Act) error {
		return AuditOfWorker(ctx, cfg, w.store, act)
	})
	return w.assembleJobs(cfg, keyset, number)
}

// assembleJobs builds what processes jobs, looks for missing tasks and feeds batches.
func (w *Worker) assembleJobs(cfg *config.Config, keyset *tasks.Keyset, number *digits.Reader) error {
	w.batches = batch.NewStore(w.store)
	progress := batch.NewProgressStore(w.redis, w.batches)
	pause := worker.NewQueuePause(w.redis)
	parts := worker.Parts{
		Records: w.store, Images: w.store, MaskedImages: w.store, Vendor: w.vendor, Gate: w.gate, Keyset: keyset,
		CheckMask: checkMask(cfg), Hints: redisx.NewHints(w.redis), Batches: progress, Observer: w.metrics,
		OnHold: func(ctx context.Context) {
			if err := pause.Sync(ctx, w.gate); err != nil {
				w.log.Warn().Err(err).Msg("cannot pause the queues; the gate is closed nevertheless")
			}
		},
		Log: w.log,
	}
	if number != nil {
		parts.HasNumber = number.HasNumber
	}
	processor, err := worker.NewProcessor(parts, policyOf(cfg))
	if err != nil {
		return cli.UsageError(err)
	}
	asynqLog := asynqx.NewLogger(w.log)
	w.server = worker.NewServer(worker.ServerConfig{
		Redis: w.redis, Processor: processor, OpenPayload: w.Client.OpenPayload, LiveConcurrency: cfg.LiveConcurrency,
		BulkConcurrency: map[tasks.Kind]int{tasks.Aadhaar: cfg.AadhaarConcurrency, tasks.Passport: cfg.PassportConcurrency},
		ShutdownTimeout: shutdownTimeout(cfg.CashfreeTimeout), Ahead: w.aheadOfRedis, Log: w.log, AsynqLog: asynqLog,
	})
	w.janitor = janitor.New(w.redis, queues(), w.log)
	w.sweeper = &worker.Sweeper{
		Processor: processor, Ledger: w.store, Tasks: w.Client, Leader: redisx.NewLeader(w.redis, "sweep", worker.LeadFor),
		SyncQueues: func(ctx context.Context) error { return pause.Sync(ctx, w.gate) },
		Housekeep:  w.janitor.Run, MarkBatches: w.batches.MarkOpen, Counted: w.counted, Log: w.log,
	}
	w.feeder = batch.NewFeeder(batch.FeederConfig{
		Redis: w.redis, Store: w.store, Keyset: keyset, Client: w.Client, Progress: progress, Gate: w.gate, Finish: w.sweeper.Finish,
		Ahead: w.aheadOfRedis, Log: w.log, AsynqLog: asynqLog,
	})
	w.sweeper.EnsureFeeds = w.feeder.ScheduleAll
	return nil
}

// counted stores the counts of the sweep for the metrics of all workers.
func (w *Worker) counted(ctx context.Context, n worker.Counted) error {
	r := redisx.Rounds{Open: map[string]int64{}, Oldest: map[string]int64{}, Batches: map[string]int64{}}
	for _, kind := range tasks.Kinds() {
		r.Open[string(kind)] = int64(n.Open[kind])
	}
	for _, queue := range tasks.Queues() {
		if r.Oldest[queue] = 0; n.Oldest[queue] > 0 {
			r.Oldest[queue] = time.Now().Add(-n.Oldest[queue]).Unix()
		}
	}
	open, batchesErr := w.batches.Open(ctx)
	for _, state := range stateNames() {
		r.Batches[state] = 0
	}
	for _, b := range open {
		r.Batches[string(b.State)]++
	}
	var reviewsErr error
	for _, reviewsErr = range w.store.QuarantinedIDs(ctx) {
		if reviewsErr == nil {
			r.Reviews++
		}
	}
	return errors.Join(batchesErr, reviewsErr, redisx.CountRound(ctx, w.redis, r), redisx.AddMissing(ctx, w.redis, n.Missing))
}

func stateNames() (names []string) {
	for _, state := range batch.OpenStates {
		names = append(names, string(state))
	}
	return names
}

func policyOf(cfg *config.Config) worker.Policy {
	codes := cfg.RetryCodes
	if codes == nil {
		codes = []int{}
	}
	return worker.Policy{
		MaxAttempts: cfg.MaxAttempts, RetryCodes: codes, RetryBase: cfg.RetryBase, RetryMax: cfg.RetryMax,
		FailOnAccountError: cfg.OnAccountError == "fail", ReissueLostAnswers: cfg.OnLostAnswer == "reissue",
		ReissuesPerDay: cfg.ReissuesPerDay, CallTimeout: cfg.CashfreeTimeout, QRCheck: cfg.QRCheck,
	}
}

func checkMask(cfg *config.Config) func(context.Context, []byte, maskcheck.SourceInfo) (maskcheck.Report, error) {
	if cfg.QRCheck == "readable" {
		return maskcheck.CheckReadable
	}
	return maskcheck.Check
}

// shutdownTimeout is enough for a call and for writing its outcome.
func shutdownTimeout(callTimeout time.Duration) time.Duration { return callTimeout + 15*time.Second }

// Check returns an error if Redis or the store does not meet the requirements. allowVolatile accepts a Redis that may lose
// data.
func (w *Worker) Check(ctx context.Context, allowVolatile bool) error {
	findings, err := redisx.Check(ctx, w.redis, access.Worker)
	if err != nil {
		return err
	}
	var refused []error
	volatile := true
	for _, f := range findings {
		if f.Refuse && (!f.Volatile || !allowVolatile) {
			refused = append(refused, errors.New(f.String()))
			volatile = volatile && f.Volatile
			continue
		}
		w.log.Warn().Str("finding", f.Code).Str("fix", f.Fix).Msg(f.Message)
	}
	if len(refused) > 0 {
		if volatile {
			refused = append(refused, fmt.Errorf("for development, add --allow-volatile-redis"))
		}
		return errors.Join(refused...)
	}
	return w.checkStore(ctx)
}

// checkStore tries what the work needs in each bucket: nothing is paid for that could not be stored.
func (w *Worker) checkStore(ctx context.Context) error {
	failed := w.store.Buckets().SelfTest(ctx)
	lacking, err := w.store.Buckets().Denied(ctx, access.S3(access.Worker), failed)
	for _, p := range lacking {
		if p.Optional() {
			w.log.Warn().Str("bucket", p.Bucket).Str("fix", "grant it: see kycq storage policy worker").Msg("the S3 credentials lack " + p.String())
			continue
		}
		if errors.Is(failed, storage.ErrDenied) {
			failed = nil // the permission says it better
		}
		err = errors.Join(err, fmt.Errorf("%w: the S3 credentials lack %s in the %s bucket: grant it (kycq storage policy worker)", storage.ErrDenied, p, p.Bucket))
	}
	return errors.Join(failed, err)
}

// Install makes the installation, or verifies that buckets, Redis and the vendor's account belong to it.
//
// It calls audit before the fleet's setting of the check for QR codes becomes another than that of the worker that started last.
func (w *Worker) Install(ctx context.Context, audit func(before, now string) error) error {
	if err := w.keeper.Start(ctx); err != nil {
		return err
	}
	if err := w.Client.CheckSealing(ctx); err != nil {
		return err
	}
	return w.keeper.SetQRCheck(ctx, w.qrCheck, audit)
}

func (w *Worker) aheadOfRedis() time.Duration { return w.clocks.Ahead(clocks.Redis) }

// Run processes jobs until ctx ends, after Install, while the clock of this machine is right.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.pauses.Restore(ctx); err != nil {
		return err
	}
	w.warnOfRates(ctx)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ctx, drain := context.WithCancel(ctx)
	defer drain()
	var group errgroup.Group
	group.Go(func() error {
		err := w.keeper.Run(background)
		if err != nil {
			drain()
		}
		return err
	})
	group.Go(func() error { w.pauses.Watch(background); return nil })
	group.Go(func() error { w.beat(background); return nil })
	group.Go(func() error { w.watchEvents(background); return nil })
	w.clocks.Compare(ctx)
	group.Go(func() error { w.clocks.Run(background); return nil })
	err := w.clocks.While(ctx, w.work)
	stop()
	return errors.Join(err, group.Wait())
}

// warnOfRates warns of rates of this worker that are not in force.
func (w *Worker) warnOfRates(ctx context.Context) {
	kinds, _, err := w.gate.Status(ctx)
	if err != nil {
		return // a Redis that fails is reported elsewhere
	}
	for _, k := range kinds {
		if k.Limit() != k.Configured {
			w.log.Warn().Str("kind", k.Kind).Stringer("configured", k.Configured).Stringer("in_force", k.Set.Rate).Str("set_by", k.Set.By).
				Time("set_at", k.Set.At).Str("next_action", "none, or run `kycq fleet rate "+k.Kind+" --reset`").
				Msg("this worker's rate is not in force: another was set for the fleet")
		}
	}
}

// work processes jobs until ctx ends. It stops the queues before the parts that their jobs use.
func (w *Worker) work(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var group errgroup.Group
	group.Go(func() error { w.sweeper.Run(background); return nil })
	group.Go(func() error { w.janitor.Watch(background); return nil })
	group.Go(func() error { w.daily(background); return nil })
	group.Go(func() error { return w.feeder.Run(ctx) })
	err := w.server.Run(ctx)
	stop()
	return errors.Join(err, group.Wait())
}

// ServeAdmin serves health and metrics on l until stop is called. When ctx ends, the worker reports that it is not ready.
func (w *Worker) ServeAdmin(ctx context.Context, l net.Listener) (stop func()) {
	const stopTimeout = 2 * time.Second
	w.log.Info().Str("address", l.Addr().String()).Msg("serving health and metrics")
	cancelDrain := context.AfterFunc(ctx, w.admin.Drain)
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := cli.Serve(serving, l, nil, w.admin, stopTimeout, nil); err != nil {
			w.log.Error().Err(err).Msg("stopped serving health and metrics; the worker continues")
		}
	}()
	return func() {
		cancelDrain()
		cancel()
		<-ended
	}
}

// Close closes all connections.
func (w *Worker) Close() {
	if w.gate != nil {
		w.gate.Close()
	}
	w.vendor.Close()
	_ = w.redis.Close()
}
