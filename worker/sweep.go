package worker

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/sleep"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Ledger lists records and the markers of open runs: *storage.Store.
type Ledger interface {
	RecordStore
	OpenRuns(ctx context.Context, kind tasks.Kind) iter.Seq2[storage.OpenRun, error]
	Records(ctx context.Context, kind tasks.Kind) iter.Seq2[string, error]
	MarkersComplete(ctx context.Context) (bool, error)
	SetMarkersComplete(ctx context.Context) error
}

// Leader elects the one worker that sweeps.
type Leader interface {
	Lead(ctx context.Context) (bool, error)
	Resign(ctx context.Context) error
}

// Tasks looks for tasks and enqueues missing ones: *tasks.Client.
type Tasks interface {
	Driven(ctx context.Context, queue string, taskIDs []string) (driven []bool, paused bool, err error)
	Push(ctx context.Context, job tasks.JobSpec) (tasks.Status, error)
}

// Counted is what the leader counted in one round.
type Counted struct {
	Open    map[tasks.Kind]int       // runs with a marker
	Oldest  map[string]time.Duration // age of the oldest unfinished one, by queue
	Missing int                      // tasks that were enqueued because they were missing
}

// Sweeper makes sure that every unfinished job is driven, whatever Redis has forgotten. In rounds it lists the markers of
// open runs, and enqueues the jobs that no task drives. It processes jobs that need no call itself.
type Sweeper struct {
	Processor *Processor // not used by Reconcile
	Ledger    Ledger
	Tasks     Tasks
	Leader    Leader
	// MarkBatches puts missing markers of batches. EnsureFeeds re-creates missing feed tasks. SyncQueues pauses the queues
	// while a hold lasts and resumes them afterwards. Housekeep repairs asynq's keys. Counted receives the counts of a round.
	// All are optional.
	MarkBatches func(ctx context.Context) error
	EnsureFeeds func(ctx context.Context) error
	SyncQueues  func(ctx context.Context) error
	Housekeep   func(ctx context.Context) error
	Counted     func(ctx context.Context, n Counted) error
	Log         zerolog.Logger

	complete bool      // every unfinished record has its marker
	last     time.Time // when the last round began; zero before the first
}

const (
	// SweepEvery is the interval of sweeps.
	SweepEvery = time.Minute
	// LeadFor is how long a leader leads that does not renew its leadership.
	LeadFor    = 2 * SweepEvery
	renewEvery = LeadFor / 4
	// roundEvery is the interval of rounds. A job whose task is lost is enqueued again within roundEvery, or within
	// LeadFor and SweepEvery if the leader is lost, too.
	roundEvery = 3 * time.Minute
	// sweepChunk is how many runs are looked at together, sweepParallel how many records are read at once.
	sweepChunk    = 1000
	sweepParallel = 32
	// finishTime is how long a round finishes jobs that need no call. The next round goes on.
	finishTime = 2 * time.Minute
)

// Run sweeps until ctx ends.
func (s *Sweeper) Run(ctx context.Context) {
	defer func() {
		resign, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = s.Leader.Resign(resign) // the leadership expires anyway
	}()
	for ctx.Err() == nil {
		if err := s.Once(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn().Err(err).Msg("the sweep failed: retrying in a minute")
		}
		_ = sleep.For(ctx, SweepEvery)
	}
}

// errNotLeading ends a sweep of a worker that no longer leads.
var errNotLeading = errors.New("another worker leads")

// Once sweeps once, if this worker is the leader. It renews the leadership while it works.
func (s *Sweeper) Once(ctx context.Context) error {
	leads, err := s.Leader.Lead(ctx)
	if err != nil || !leads {
		s.last = time.Time{}
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var renewal sync.WaitGroup
	renewal.Go(func() {
		for sleep.For(ctx, renewEvery) == nil {
			if leads, err := s.Leader.Lead(ctx); err == nil && !leads {
				cancel(errNotLeading)
			}
		}
	})
	defer renewal.Wait()
	defer cancel(nil)
	return s.lead(ctx)
}

// lead does the chores of the leader. An error of one stops no other.
func (s *Sweeper) lead(ctx context.Context) error {
	var errs []error
	for _, part := range []func(context.Context) error{s.SyncQueues, s.Housekeep, s.EnsureFeeds, s.roundIfDue, s.storeWaiting, s.complement} {
		if part != nil {
			catch(s.Log, "", "", func() { errs = append(errs, part(ctx)) })
		}
	}
	return errors.Join(errs...)
}

func (s *Sweeper) roundIfDue(ctx context.Context) error {
	if time.Since(s.last) < roundEvery {
		return nil
	}
	began := time.Now()
	err := s.round(ctx)
	if err == nil {
		s.last = began
	}
	return err
}

// round looks at every marker once.
func (s *Sweeper) round(ctx context.Context) error {
	r := &round{Sweeper: s, counted: Counted{Open: map[tasks.Kind]int{}, Oldest: map[string]time.Duration{}}}
	var errs []error
	for _, kind := range tasks.Kinds() {
		errs = append(errs, r.kind(ctx, kind))
	}
	r.finish(ctx)
	r.log()
	if err := errors.Join(errs...); err != nil || s.Counted == nil {
		return err
	}
	return s.Counted(ctx, r.counted)
}

// round is one pass over the markers.
type round struct {
	*Sweeper
	mu      sync.Mutex
	counted Counted
	ready   []ready
	failed  int // runs that could not be looked at; the first of them:
	first   storage.OpenRun
	err     error
}

// ready is a run that needs no call.
type ready struct {
	run      storage.OpenRun
	job      tasks.JobSpec
	settling bool // its marker stays
}

func (r *round) log() {
	if r.counted.Missing > 0 {
		r.Log.Warn().Int("count", r.counted.Missing).Msg("open jobs had no task in Redis: they are enqueued again")
	}
	if r.failed > 0 {
		r.Log.Error().Err(r.err).Str("kind", string(r.first.Kind)).Str("job", r.first.VerificationID).Int("count", r.failed).
			Msg("open jobs cannot be looked at: they are skipped; this is the first")
	}
}

// kind looks at the markers of a kind. It lists as it goes, so if the store fails, the listing fails too and ends the round.
func (r *round) kind(ctx context.Context, kind tasks.Kind) error {
	chunks := map[tasks.Lane][]storage.OpenRun{}
	for run, err := range r.Ledger.OpenRuns(ctx, kind) {
		if err != nil {
			return err
		}
		r.counted.Open[kind]++
		chunks[run.Lane] = append(chunks[run.Lane], run)
		if len(chunks[run.Lane]) == sweepChunk {
			if err := r.look(ctx, tasks.Queue(kind, run.Lane), chunks[run.Lane]); err != nil {
				return err
			}
			chunks[run.Lane] = nil
		}
	}
	for lane, runs := range chunks {
		if err := r.look(ctx, tasks.Queue(kind, lane), runs); err != nil {
			return err
		}
	}
	return nil
}

// look looks for the tasks of runs in Redis, and reads the records of those that no task drives. While a queue is paused,
// all are read: an answered or final record goes on without a task.
func (r *round) look(ctx context.Context, queue string, runs []storage.OpenRun) error {
	ids := make([]string, len(runs))
	for i, run := range runs {
		ids[i] = tasks.TaskID(run.VerificationID, run.Run)
	}
	driven, paused, err := r.Tasks.Driven(ctx, queue, ids)
	if err != nil || len(runs) == 0 {
		return err
	}
	var group errgroup.Group
	group.SetLimit(sweepParallel)
	for i, run := range runs {
		if driven[i] && !paused || ctx.Err() != nil {
			r.unfinished(run)
			continue
		}
		group.Go(func() error {
			var enqueued bool
			err := errors.New("panic")
			catch(r.Log, run.Kind, run.VerificationID, func() { enqueued, err = r.drive(ctx, run, driven[i]) })
			r.note(run, enqueued, err)
			return nil
		})
	}
	_ = group.Wait()
	return context.Cause(ctx)
}

// unfinished notes the age of a run that has not ended.
func (r *round) unfinished(run storage.OpenRun) {
	r.mu.Lock()
	defer r.mu.Unlock()
	queue := tasks.Queue(run.Kind, run.Lane)
	r.counted.Oldest[queue] = max(r.counted.Oldest[queue], run.Age)
}

// note counts what was done with one run. An error of one run stops no other.
func (r *round) note(run storage.OpenRun, enqueued bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if enqueued {
		r.counted.Missing++
	}
	if err != nil {
		if r.failed++; r.failed == 1 {
			r.first, r.err = run, err
		}
	}
}

// drive continues one run, and deletes a marker that no open run needs. It leaves runs that need no call to finish.
func (r *round) drive(ctx context.Context, run storage.OpenRun, driven bool) (enqueued bool, err error) {
	rec, version, err := r.Ledger.Record(ctx, run.Kind, run.VerificationID)
	if err == nil && !rec.State.Final() {
		r.unfinished(run)
	}
	switch {
	case errors.Is(err, storage.ErrNotFound), err == nil && rec.Run < run.Run, err == nil && rec.Run == run.Run && rec.Lane != run.Lane:
		// The producer is about to write the record, or it crashed, or another producer was first.
		if run.Age < storage.MarkerLife {
			return false, nil
		}
		return false, r.Ledger.UnmarkOpen(ctx, run)
	case err != nil:
		return false, err
	case rec.Run > run.Run:
		return false, r.Ledger.UnmarkOpen(ctx, run)
	case NeedsNoCall(rec):
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ready = append(r.ready, ready{run, rec.JobSpec, settling(rec, version)})
		return false, nil
	case driven:
		return false, nil
	}
	status, err := r.Tasks.Push(ctx, rec.JobSpec)
	return status == tasks.Enqueued, err
}

// finish finishes the runs that need no call, in random order: they may all wait for a server of images that does not answer.
func (r *round) finish(ctx context.Context) {
	rand.Shuffle(len(r.ready), func(i, j int) { r.ready[i], r.ready[j] = r.ready[j], r.ready[i] }) //nolint:gosec // the order needs no secrecy
	ctx, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(sweepParallel)
	for _, f := range r.ready {
		group.Go(func() error {
			if ctx.Err() == nil && r.Finish(ctx, f.job) && !f.settling {
				r.note(f.run, false, r.Ledger.UnmarkOpen(ctx, f.run)) // the tail deletes that of a single job only
			}
			return nil
		})
	}
	_ = group.Wait()
}

// NeedsNoCall reports whether a job can be processed without a task: its answer is in the record, or only its tail is left.
func NeedsNoCall(rec *storage.Record) bool {
	return rec.State.Final() || rec.State == storage.StateAnswered
}

// Finish processes a job that needs no call, and so neither task nor permit. It reports whether the job has ended.
func (s *Sweeper) Finish(ctx context.Context, job tasks.JobSpec) (ended bool) {
	catch(s.Log, job.Kind, job.VerificationID, func() { ended = s.Processor.Process(ctx, job).Decision == Final })
	return ended
}
