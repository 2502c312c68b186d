package batch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/internal/sleep"
)

const (
	// stepLength is how long a batch is fed before other batches are.
	stepLength = 5 * time.Second
	// tickPause is the pause between two ticks of a step. At most chunk rows are fed per tick.
	tickPause = 100 * time.Millisecond
	// idleAfter is how long a step continues without anything to feed.
	idleAfter = 500 * time.Millisecond

	// The delays until the next step, by why nothing was fed.
	idleDelay       = time.Second
	pausedDelay     = 2 * time.Second
	redisFullDelay  = 5 * time.Second
	missingKeyDelay = time.Minute
	limitDelay      = 15 * time.Second
	// openDelay is for a batch whose report found open rows.
	openDelay = 10 * time.Second
	// done is the delay of a batch that needs no further step.
	done time.Duration = -1

	// limitAfter is how long no row may have ended before a batch with all rows fed is stopped at its call limit.
	limitAfter = 10 * time.Second

	// chunk is how many rows are fed at once.
	chunk = 500
)

// feed is one batch during a feed step.
type feed struct {
	*Feeder
	b     *Batch
	parts *Parts
	list  struct { // the part of a retry's rows that was read last
		name   string
		number int
		rows   []Rerun
	}
	foreignChecked time.Time
	openChecked    bool // in this step
}

// step feeds a batch for a while. It returns the delay until the next step.
func (f *Feeder) step(ctx context.Context, id string) (time.Duration, error) {
	b, err := f.batches.Load(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		f.Log.Info().Str("batch", id).Msg("this batch was not accepted (yet): its feed task is dropped")
		return done, nil
	case err != nil:
		return 0, err
	case b.Done():
		return done, f.batches.unmark(ctx, b)
	}
	t := &feed{Feeder: f, b: b, parts: PartsOf(f.Store, f.Keyset, b)}
	began, lastFed := time.Now(), time.Now()
	for {
		fed, delay, err := t.tick(ctx)
		switch {
		case errors.Is(err, seal.ErrKeyMissing):
			f.Log.Warn().Err(err).Str("batch", id).Msg("this worker lacks the key of the manifest; another worker may have it")
			return missingKeyDelay, f.Progress.set(ctx, id, fieldReason, "key_missing")
		case err != nil || delay != 0:
			return delay, err
		case fed > 0:
			lastFed = time.Now()
		}
		if time.Since(lastFed) > idleAfter || time.Since(began) > stepLength {
			return idleDelay, nil
		}
		if err := sleep.For(ctx, tickPause); err != nil {
			return 0, err
		}
	}
}

// tick feeds what there is room for. A delay other than 0 ends the step.
func (t *feed) tick(ctx context.Context) (fed int, delay time.Duration, err error) {
	p, err := t.readProgress(ctx)
	if err != nil {
		return 0, 0, err
	}
	if t.b.Done() {
		return 0, idleDelay, nil
	}
	if err := t.checkForeign(ctx); err != nil {
		return 0, 0, err
	}
	if err := t.checkOpen(ctx, p); err != nil {
		return 0, 0, err
	}
	run := t.b.run(p.Run)
	outstanding := p.outstanding(run.Kind)
	allFed := p.Cursor >= run.Rows
	if allFed {
		if err := t.Progress.setReason(ctx, t.b.ID, p, ""); err != nil {
			return 0, 0, err
		}
	}
	switch {
	case t.b.State == Paused && !p.rebuilding() && !(allFed && outstanding == 0): // lost progress is restored meanwhile
		return 0, limitDelay, t.Progress.setReason(ctx, t.b.ID, p, "")
	case t.b.State == Cancelled && !p.rebuilding(), allFed && p.Run == len(t.b.Runs):
		delay, err = t.finishOrWait(ctx, p, outstanding)
		return 0, delay, err
	case allFed && outstanding == 0:
		return 0, 0, t.Progress.nextRun(ctx, t.b.ID, p, t.b.run(p.Run+1).Kind)
	case allFed:
		return 0, 0, nil
	case t.b.State == CallLimitReached && (p.limitReached() || p.rebuilding()):
		return 0, limitDelay, nil
	case t.b.State == CallLimitReached:
		return 0, idleDelay, t.followLimit(ctx, p)
	case t.b.State == Running && p.limitReached():
		return 0, limitDelay, t.followLimit(ctx, p)
	}
	return t.feedNext(ctx, p, run)
}

// feedNext feeds the next rows, or records why it cannot.
func (t *feed) feedNext(ctx context.Context, p *Progress, run Run) (fed int, delay time.Duration, err error) {
	queue, err := t.queueDepth(ctx, t.b)
	if err != nil {
		return 0, 0, err
	}
	if queue.paused {
		return 0, pausedDelay, t.Progress.setReason(ctx, t.b.ID, p, "held")
	}
	if err := t.headroom.Check(ctx); errors.Is(err, redisx.ErrFull) {
		return 0, redisFullDelay, t.Progress.setReason(ctx, t.b.ID, p, "redis_full")
	} else if err != nil {
		return 0, 0, err
	}
	rate, err := t.perMinute(ctx, t.b.Kind)
	if err != nil {
		return 0, 0, err
	}
	target := targetDepth(rate)
	if t.b.State == Paused { // its rows are delayed, and are all pending once it is resumed
		queue.delayed = 0
	}
	outstanding := p.openUpTo(run.Kind, p.Cursor) // the rows between cursor and Fed are fed again: they need no further room
	room := queue.room(p, outstanding, target)
	switch {
	case room == 0 && t.b.State == Paused:
		return 0, limitDelay, nil
	case room == 0:
		return 0, 0, nil
	case p.MaxCalls == 0 && (p.rebuilding() || run.Kind == Amend):
		room = max(room, chunk/2) // most of these rows are only counted; feeding a few too many does no harm
	case p.MaxCalls == 0 && room < min(target/16, run.Rows-p.Cursor):
		return 0, 0, nil // too few to open a part for
	}
	if err := t.Progress.setReason(ctx, t.b.ID, p, ""); err != nil {
		return 0, 0, err
	}
	fed, err = t.feedRows(ctx, p, run, min(room, chunk))
	return fed, 0, err
}

// readProgress reads the progress, and creates it if there is none: the batch is new, or Redis was wiped. If it differs
// from batch.json, batch.json is read again and wins.
func (t *feed) readProgress(ctx context.Context) (*Progress, error) {
	for range 3 {
		p, err := t.Progress.Read(ctx, t.b.ID)
		if err != nil {
			return nil, err
		}
		if p != nil && p.State == t.b.State && p.MaxCalls == t.b.MaxCalls && p.Run <= len(t.b.Runs) {
			return p, nil
		}
		if t.b, err = t.batches.Load(ctx, t.b.ID); err != nil {
			return nil, err
		}
		if p != nil && p.Run <= len(t.b.Runs) {
			err = t.Progress.Sync(ctx, t.b)
		} else {
			err = t.createProgress(ctx)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, errors.New("the progress of the batch keeps changing: check that Redis keeps its keys (maxmemory-policy noeviction)")
}

func (t *feed) createProgress(ctx context.Context) error {
	was, err := t.batches.summary(ctx, t.b.ID)
	if err != nil {
		return err
	}
	t.Log.Info().Str("batch", t.b.ID).Int("rows", t.b.Rows).Msg("feeding starts")
	return t.Progress.create(ctx, t.b, false, was)
}

// followLimit stops a batch at its call limit until a person raises the limit, or until a counted call that did not leave is
// taken back.
func (t *feed) followLimit(ctx context.Context, p *Progress) error {
	b, err := t.batches.Edit(ctx, t.b.ID, func(b *Batch) error {
		reached := b.MaxCalls > 0 && p.Calls >= b.MaxCalls
		switch {
		case b.State == Running && reached:
			b.State, b.Reason = CallLimitReached, fmt.Sprintf("call_limit_reached: %d of %d calls were made", p.Calls, b.MaxCalls)
			t.Log.Warn().Str("batch", b.ID).Int("calls", p.Calls).Msg("the call limit is reached: raise it with kycq batch resume --max-calls")
		case b.State == CallLimitReached && !reached:
			b.State, b.Reason = Running, ""
		default:
			return errUnchanged
		}
		return nil
	})
	if err != nil {
		return err
	}
	return t.Progress.Sync(ctx, b)
}

// finishOrWait finishes a batch that has nothing left to feed, once no row is open.
func (t *feed) finishOrWait(ctx context.Context, p *Progress, outstanding int) (time.Duration, error) {
	switch {
	case outstanding == 0:
		finished, err := t.finish(ctx, p)
		if err != nil || !finished {
			return openDelay, err
		}
		return done, nil
	case t.b.State == Running && p.limitReached():
		idle, err := t.Progress.idleFor(ctx, t.b.ID, p)
		if err == nil && idle > limitAfter {
			err = t.followLimit(ctx, p)
		}
		return idleDelay, err
	}
	return 0, nil
}
