package batch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/internal/sleep"
	"github.com/kycq/kycq/tasks"
)

const (
	// turnLength is how long a batch is fed before others get their turn.
	turnLength = 5 * time.Second
	// turnPause is between two looks within a turn: at no limit, it times maxDepth is what can be fed.
	turnPause = 100 * time.Millisecond
	// idleAfter is how long a turn goes on without anything to feed.
	idleAfter = 500 * time.Millisecond
	// The delays until the next turn, by why there was nothing to feed.
	idleDelay       = time.Second
	heldDelay       = 2 * time.Second
	fullDelay       = 5 * time.Second
	missingKeyDelay = time.Minute
	pausedDelay     = 15 * time.Second
	// openDelay is for a batch that looked done and was not.
	openDelay = 10 * time.Second
	// cappedAfter is how long the last rows may stand still before the cap is what they wait for.
	cappedAfter = 10 * time.Second

	// chunk is how many rows are fed at once, pushParallel with how many connections.
	chunk        = 500
	pushParallel = 8
)

// feed is one batch in its turn.
type feed struct {
	*Feeder
	b     *Batch
	parts *Parts
	list  struct { // the part of a retry's rows that was read last
		name   string
		number int
		rows   []Rerun
	}
	lastElsewhere time.Time
	lastFed       time.Time
}

// turn feeds a batch for a while. It returns when the batch wants its next turn, or done.
func (f *Feeder) turn(ctx context.Context, id string) (time.Duration, error) {
	b, err := f.batches.Load(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		f.Log.Warn().Str("batch", id).Msg("there is no such batch: its feed task is dropped")
		return done, nil
	case err != nil:
		return 0, err
	case b.Done():
		return done, f.batches.unmark(ctx, id)
	}
	t := &feed{Feeder: f, b: b, parts: PartsOf(f.Store, f.Keyset, b), lastFed: time.Now()}
	for began := time.Now(); ; {
		fed, delay, err := t.step(ctx)
		switch {
		case errors.Is(err, seal.ErrKeyMissing):
			f.Log.Warn().Err(err).Str("batch", id).Msg("the manifest waits for a worker that has its key")
			return missingKeyDelay, nil
		case err != nil || delay != 0:
			return delay, err
		case fed > 0:
			t.lastFed = time.Now()
		}
		if time.Since(t.lastFed) > idleAfter || time.Since(began) > turnLength {
			return idleDelay, nil
		}
		if err := sleep.For(ctx, turnPause); err != nil {
			return 0, err
		}
	}
}

// step looks at the batch once and feeds what there is room for. A delay ends the turn.
func (t *feed) step(ctx context.Context) (fed int, delay time.Duration, err error) {
	p, err := t.board(ctx)
	if err != nil {
		return 0, 0, err
	}
	if t.b.Done() {
		return 0, idleDelay, nil
	}
	if err := t.seeElsewhere(ctx); err != nil {
		return 0, 0, err
	}
	run := t.b.run(p.Pass)
	outstanding := p.outstanding(run.Kind)
	atEnd := p.Cursor >= run.Rows
	switch {
	case t.b.State == Cancelled && p.blank < 0, atEnd && p.Pass == len(t.b.Runs):
		return t.drained(ctx, p, outstanding)
	case atEnd && outstanding == 0:
		return 0, 0, t.Progress.enter(ctx, t.b.ID, p, t.b.run(p.Pass+1).Kind)
	case atEnd:
		return t.waitFor(ctx, p, outstanding)
	case t.b.State == CallLimitReached:
		return 0, pausedDelay, nil
	case t.b.State == Running && p.capped():
		return 0, pausedDelay, t.pauseAtCap(ctx, p)
	}
	return t.feedNext(ctx, p, run, outstanding)
}

// feedNext feeds the next rows, unless something stands in the way; that is noted for those who watch.
func (t *feed) feedNext(ctx context.Context, p *Progress, run Run, outstanding int) (int, time.Duration, error) {
	queue, err := t.line(ctx, t.b)
	if err != nil {
		return 0, 0, err
	}
	if queue.held {
		return 0, heldDelay, t.Progress.setReason(ctx, t.b.ID, p, "held")
	}
	if err := t.headroom.Check(ctx); errors.Is(err, redisx.ErrFull) {
		return 0, fullDelay, t.Progress.setReason(ctx, t.b.ID, p, "redis_full")
	} else if err != nil {
		return 0, 0, err
	}
	rate, err := t.PerMinute(ctx, t.b.Kind)
	if err != nil {
		return 0, 0, err
	}
	depth := depth(rate)
	room := queue.room(p, outstanding, depth)
	switch rest := run.Rows - p.Cursor; {
	case room == 0:
		return t.waitFor(ctx, p, outstanding)
	case p.Cap == 0 && (p.blank >= 0 || run.Kind == Amend):
		room = max(room, chunk/2) // most of these rows are only counted; a few too many are fed
	case p.Cap == 0 && room < min(depth/16, rest):
		return 0, 0, nil // not worth opening a part for
	}
	if err := t.Progress.setReason(ctx, t.b.ID, p, ""); err != nil {
		return 0, 0, err
	}
	fed, err := t.feed(ctx, p, run, min(room, chunk))
	return fed, 0, err
}

// board reads the progress and begins it where Redis knows nothing of the batch: it is new, or Redis was wiped. Where it
// says something else than batch.json, the latter is read again and wins.
func (t *feed) board(ctx context.Context) (*Progress, error) {
	for range 3 {
		p, err := t.Progress.Read(ctx, t.b.ID)
		if err != nil {
			return nil, err
		}
		if p != nil && p.State == t.b.State && p.Cap == t.b.MaxCalls && p.Pass <= len(t.b.Runs) {
			return p, nil
		}
		if t.b, err = t.batches.Load(ctx, t.b.ID); err != nil {
			return nil, err
		}
		if p != nil && p.Pass <= len(t.b.Runs) {
			if err := t.Progress.Sync(ctx, t.b); err != nil {
				return nil, err
			}
			continue
		}
		if err := t.begin(ctx); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("the progress of the batch changes all the time: does Redis keep its keys?")
}

func (t *feed) begin(ctx context.Context) error {
	was, err := t.batches.Summary(ctx, t.b.ID)
	if err != nil {
		return err
	}
	if err := t.batches.Mark(ctx, t.b.ID); err != nil {
		return err
	}
	t.Log.Info().Str("batch", t.b.ID).Int("rows", t.b.Rows).Msg("feeding begins")
	return t.Progress.begin(ctx, t.b, false, was)
}

// feed feeds at most n rows from the cursor on, then moves it.
func (t *feed) feed(ctx context.Context, p *Progress, run Run, n int) (int, error) {
	orders, err := t.orders(ctx, p, run, n)
	if err != nil {
		return 0, err
	}
	to := p.Cursor + len(orders)
	found, err := t.settleFirst(ctx, p, run, orders)
	if err != nil {
		return 0, err
	}
	if err := t.push(ctx, found.feed); err != nil {
		return 0, err
	}
	return len(orders), t.Progress.advance(ctx, t.b.ID, p, to, found.calls, found.blank)
}

// push puts orders into the queue: the open set first, so that a job is never in hand without being looked for.
func (t *feed) push(ctx context.Context, orders []order) error {
	if err := t.open.AddAll(ctx, string(t.b.Kind), idsOf(orders), time.Now()); err != nil {
		return err
	}
	queued := make([]bool, len(orders))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(pushParallel)
	for i := range orders {
		group.Go(func() error {
			status, err := t.Client.Push(gctx, orders[i].payload)
			queued[i] = status == tasks.AlreadyQueued
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("feed: %w", err)
	}
	var others []order
	for i := range orders {
		if queued[i] {
			others = append(others, orders[i])
		}
	}
	return t.Progress.addElsewhere(ctx, t.b.ID, others)
}

// pauseAtCap ends the spending for a reason that a person must mend.
func (t *feed) pauseAtCap(ctx context.Context, p *Progress) error {
	b, err := t.batches.Edit(ctx, t.b.ID, func(b *Batch) error {
		if b.State != Running || b.MaxCalls == 0 || b.MaxCalls > p.Calls {
			return errUnchanged
		}
		b.State, b.Reason = CallLimitReached, fmt.Sprintf("max_calls: %d of %d calls are made", p.Calls, b.MaxCalls)
		return nil
	})
	if err != nil {
		return err
	}
	t.Log.Warn().Str("batch", b.ID).Int("calls", p.Calls).Msg("the batch has made all calls that it may: raise --max-calls to go on")
	return t.Progress.Sync(ctx, b)
}

// drained ends a batch that has nothing left to feed, once no row is open.
func (t *feed) drained(ctx context.Context, p *Progress, outstanding int) (int, time.Duration, error) {
	if outstanding > 0 {
		if t.b.State == Running && p.capped() {
			still, err := t.Progress.stillFor(ctx, t.b.ID, p.Ended())
			if err == nil && still > cappedAfter {
				err = t.pauseAtCap(ctx, p)
			}
			return 0, idleDelay, err
		}
		return t.waitFor(ctx, p, outstanding)
	}
	ended, err := t.end(ctx, p)
	if err != nil || !ended {
		return 0, openDelay, err
	}
	return 0, done, nil
}
