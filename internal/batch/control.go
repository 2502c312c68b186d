package batch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/storage"
)

// Control is what people do to batches.
type Control struct {
	Redis    redis.UniversalClient
	Store    *storage.Store
	Batches  *Store
	Progress *ProgressStore
}

// NewControl works on the batches in these places.
func NewControl(client redis.UniversalClient, store *storage.Store) *Control {
	batches := NewStore(store)
	return &Control{Redis: client, Store: store, Batches: batches, Progress: NewProgressStore(client, batches)}
}

var (
	// ErrCancelled says that only --amend goes on with the batch.
	ErrCancelled = errors.New("the batch is cancelled: submit the same file again with --amend to go on")
	// ErrStillOpen is about a cancelled batch whose rows are not all closed yet.
	ErrStillOpen = errors.New("the batch is cancelled, and some of its rows are still being closed: try again in a minute")
	// ErrDone says that there is nothing to cancel.
	ErrDone = errors.New("the batch has ended: there is nothing to cancel")
)

// Cancel stops the spending: first in batch.json, which decides, then for the workers that are at work.
func (c *Control) Cancel(ctx context.Context, id string) (*Batch, error) {
	b, err := c.Batches.Edit(ctx, id, func(b *Batch) error {
		switch {
		case b.State == Cancelled:
			return errUnchanged
		case b.Done():
			return fmt.Errorf("%s: %w", id, ErrDone)
		}
		b.State, b.Reason, b.CancelledAt = Cancelled, "", now()
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := c.Progress.Sync(ctx, b); err != nil {
		return b, fmt.Errorf("the batch is cancelled, and the workers learn of it once Redis answers: %w", err)
	}
	return b, Schedule(ctx, c.Redis, id)
}

// Raise changes the cap of calls (0 for none) and goes on where that was what the batch waited for.
func (c *Control) Raise(ctx context.Context, id string, maxCalls int) (*Batch, error) {
	return c.goOn(ctx, id, func(b *Batch) error {
		if b.State == Cancelled {
			return fmt.Errorf("%s: %w", id, ErrCancelled)
		}
		b.MaxCalls = maxCalls
		if b.State == CallLimitReached {
			b.State, b.Reason = Running, ""
		}
		return nil
	})
}

// Amend goes on with a cancelled batch: rows that the cancel ended get their next run.
func (c *Control) Amend(ctx context.Context, id string, maxCalls int) (*Batch, error) {
	return c.goOn(ctx, id, func(b *Batch) error {
		switch {
		case b.State != Cancelled:
			return errUnchanged
		case !b.Done():
			return fmt.Errorf("%s: %w", id, ErrStillOpen)
		}
		b.MaxCalls = maxCalls
		b.Runs = append(b.Runs, Run{Kind: Amend, Rows: b.Rows, Why: "amended", At: now()})
		reopen(b)
		return nil
	})
}

// Retry runs rows again, as their next run.
func (c *Control) Retry(ctx context.Context, id string, rows []Rerun, why string) (*Batch, error) {
	list, err := c.Batches.writeList(ctx, id, rows)
	if err != nil {
		return nil, err
	}
	return c.goOn(ctx, id, func(b *Batch) error {
		if b.State == Cancelled {
			return fmt.Errorf("%s: %w", id, ErrCancelled)
		}
		b.Runs = append(b.Runs, Run{Kind: SomeRows, Rows: len(rows), List: list, Why: why, At: now()})
		reopen(b)
		return nil
	})
}

func reopen(b *Batch) { b.State, b.Reason, b.EndedAt = Running, "", time.Time{} }

// goOn changes a batch that is to be fed again. The marker comes first: a batch that is open is always found.
func (c *Control) goOn(ctx context.Context, id string, change func(*Batch) error) (*Batch, error) {
	if err := CheckID(id); err != nil {
		return nil, err
	}
	if err := c.Batches.Mark(ctx, id); err != nil {
		return nil, err
	}
	b, err := c.Batches.Edit(ctx, id, change)
	if err != nil {
		return nil, err
	}
	if b.Done() {
		return b, c.Batches.unmark(ctx, id)
	}
	if err := c.Progress.Sync(ctx, b); err != nil {
		return b, err
	}
	return b, Schedule(ctx, c.Redis, id)
}

// Selection says which ended rows are to run again.
type Selection struct {
	Code            string // rows whose record has this code
	Failed, Invalid bool
	// Lost is for calls that may have been charged and whose answer did not arrive: they are bought again knowingly, and
	// so are left out of Failed.
	Lost bool
}

// String is the Why of the pass.
func (s Selection) String() string {
	switch {
	case s.Code != "":
		return "code=" + s.Code
	case s.Failed:
		return "failed"
	case s.Invalid:
		return "invalid"
	case s.Lost:
		return "lost"
	}
	return "nothing"
}

func (s Selection) matches(e *Entry) bool {
	if e.Record == nil || !e.Own() || !e.Record.State.Final() || e.Record.Erased != nil {
		return false
	}
	lost := e.Record.Code == codeAnswerLost
	switch {
	case s.Code != "":
		return e.Record.Code == s.Code
	case s.Failed:
		return e.Record.State == storage.StateFailed && !lost
	case s.Invalid:
		return e.Record.State == storage.StateInvalid
	case s.Lost:
		return lost
	}
	return false
}

// Select lists the rows of a batch that a retry would run. Where the board knows which rows cannot be meant, their records
// are not read; without a board all are. seen is told how many rows were looked at.
func (c *Control) Select(ctx context.Context, b *Batch, parts *Parts, client Preparer, s Selection, seen func(int)) ([]Rerun, error) {
	p, err := c.Progress.Read(ctx, b.ID)
	if err != nil {
		return nil, err
	}
	var chosen []Rerun
	for n := range manifest.Parts(b.Rows) {
		part, err := parts.Part(ctx, n)
		if err != nil {
			return nil, err
		}
		orders, err := c.candidates(ctx, b, part, p != nil)
		if err != nil {
			return nil, err
		}
		if err := b.look(ctx, c.Store, client, orders); err != nil {
			return nil, err
		}
		for i := range orders {
			if e := b.entry(&orders[i]); s.matches(e) {
				chosen = append(chosen, Rerun{Row: e.Item.Row, Run: e.Record.Run + 1, Was: e.State})
			}
		}
		seen(n*manifest.PartRows + len(part.Items))
	}
	return chosen, nil
}

// candidates are the rows of a part that did not end well, as far as the board can tell.
func (c *Control) candidates(ctx context.Context, b *Batch, part *manifest.Part, board bool) ([]order, error) {
	states := make([]RowState, len(part.Items))
	if board {
		var err error
		first := part.Items[0].Row
		if states, err = c.Progress.states(ctx, b.ID, first, first+len(part.Items)-1); err != nil {
			return nil, err
		}
	}
	var orders []order
	for i := range part.Items {
		switch states[i] {
		case RowValid, RowDoneValid, RowConflict:
		default:
			orders = append(orders, order{item: &part.Items[i], run: 1})
		}
	}
	return orders, nil
}

// Start lets the feeding of an accepted batch begin. fresh says that this call accepted it: then no row can have been fed.
func (c *Control) Start(ctx context.Context, b *Batch, fresh bool) error {
	if b.Done() {
		return nil
	}
	if fresh {
		if err := c.Progress.begin(ctx, b, true, nil); err != nil {
			return err
		}
	}
	return Schedule(ctx, c.Redis, b.ID)
}
