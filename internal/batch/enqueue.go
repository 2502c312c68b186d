package batch

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// feedRows feeds at most n rows from the cursor on. Progress.Fed moves before the rows are enqueued and the cursor after: if
// the feeder dies in between, the rows are fed again, and nothing takes them for rows that were never fed.
func (t *feed) feedRows(ctx context.Context, p *Progress, run Run, n int) (int, error) {
	rows, err := t.nextRows(ctx, p, run, n)
	if err != nil {
		return 0, err
	}
	to := p.Cursor + len(rows)
	if current, err := t.Progress.intend(ctx, t.b.ID, p, to); err != nil || !current {
		return 0, err
	}
	calls, streak, err := t.feedOpen(ctx, p, run, rows)
	if err != nil {
		return 0, err
	}
	return to - p.Cursor, t.Progress.advance(ctx, t.b.ID, p, to, calls, streak)
}

// nextRows returns the next rows of a run: at most n, and none beyond the current part.
func (t *feed) nextRows(ctx context.Context, p *Progress, run Run, n int) ([]*Row, error) {
	if run.Kind == SomeRows {
		return t.nextListed(ctx, p, run, n)
	}
	part, err := t.parts.Part(ctx, manifest.PartOf(p.Cursor+1))
	if err != nil {
		return nil, err
	}
	at := p.Cursor % manifest.PartRows
	return rowsOf(part.Items[at:min(at+n, len(part.Items))], t.b.ID), nil
}

func (t *feed) nextListed(ctx context.Context, p *Progress, run Run, n int) ([]*Row, error) {
	number := p.Cursor / listRows
	if t.list.name != run.List || t.list.number != number {
		list, err := t.batches.readList(ctx, t.b.ID, run.List, number)
		if err != nil {
			return nil, err
		}
		t.list.name, t.list.number, t.list.rows = run.List, number, list
	}
	at := p.Cursor % listRows
	return t.parts.rows(ctx, t.list.rows[at:min(at+n, len(t.list.rows))])
}

// feedOpen enqueues the open rows, and sets the states of the others. Records are read if the progress was lost or the run
// depends on them. calls is the number of calls found in records, streak the new Progress.missingStreak.
func (t *feed) feedOpen(ctx context.Context, p *Progress, run Run, rows []*Row) (calls, streak int, err error) {
	if run.Kind == SomeRows {
		err = t.reopen(ctx, rows)
	} else {
		rows, err = t.stillOpen(ctx, rows)
	}
	if err != nil {
		return 0, 0, err
	}
	erased := slices.ContainsFunc(rows, func(r *Row) bool { return r.Item.Erased }) // only the record says how these ended
	if !p.rebuilding() && run.Kind != Amend && !erased {
		err = t.b.prepare(t.Client, rows)
	} else {
		err = t.readRows(ctx, run, rows)
	}
	if err != nil {
		return 0, 0, err
	}
	for _, r := range rows { // the worker need not look for the record of a row that is fed first
		r.spec.Base.None = run.Kind == AllRows && r.Record == nil
	}
	open, calls, err := t.setEnded(ctx, rows)
	if err != nil {
		return 0, 0, err
	}
	if run.Kind == Amend {
		calls = 0 // the earlier runs counted them
	}
	streak = p.missingStreak
	for _, r := range rows {
		if streak++; r.Record != nil {
			streak = 0
		}
	}
	// With a call limit all records are read, because their calls count.
	if streak >= manifest.PartRows && p.MaxCalls == 0 {
		streak = -1
	}
	return calls, streak, t.push(ctx, open)
}

// reopen opens the rows of a retry.
func (t *feed) reopen(ctx context.Context, rows []*Row) error {
	changes := make([]rowChange, len(rows))
	for i, r := range rows {
		changes[i] = rowChange{row: r.Item.Row, to: RowOpen, was: r.was, reviewed: r.reviewed, wasCode: r.wasCode}
	}
	return t.Progress.setRows(ctx, t.b.ID, false, changes...)
}

// stillOpen drops rows that have ended already. There are some if a feeder stopped between feeding them and moving the cursor.
func (t *feed) stillOpen(ctx context.Context, rows []*Row) ([]*Row, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	states, err := t.Progress.states(ctx, t.b.ID, rows[0].Item.Row, rows[len(rows)-1].Item.Row)
	if err != nil {
		return nil, err
	}
	open := make([]*Row, 0, len(rows))
	for i, r := range rows {
		if states[i] == RowOpen {
			open = append(open, r)
		}
	}
	return open, nil
}

// readRows reads the records of rows. If the run amends a cancel, cancelled rows get the next run of their job, except those
// with a lost answer: only `batch retry --lost` may pay for them again.
func (t *feed) readRows(ctx context.Context, run Run, rows []*Row) error {
	if err := t.b.read(ctx, t.Store, t.Client, rows); err != nil || run.Kind != Amend {
		return err
	}
	for _, r := range rows {
		rec := r.Record
		if rec == nil {
			continue
		}
		r.run = rec.Run
		if amends(rec) {
			r.run++
		}
	}
	return t.b.prepare(t.Client, rows)
}

// setEnded sets the states of the rows that have ended, and returns the open ones. calls is the number of calls of this batch
// in the records, counted from the requested runs on.
func (t *feed) setEnded(ctx context.Context, rows []*Row) (open []*Row, calls int, err error) {
	var changes []rowChange
	var cut []*Row
	for _, r := range rows {
		rec := r.Record
		state := r.judge()
		switch {
		case state == RowOpen && rec != nil && rec.Run > r.run:
			state = RowFailed // a later run or a single retry runs it again
		case state == RowOpen && rec == nil && t.b.State == Cancelled:
			state = RowCancelled // fed, but no worker created a record
		}
		if rec != nil && rec.Batch == t.b.ID && rec.Run >= r.run {
			calls += attemptsFrom(rec, r.run)
		}
		if state == RowOpen {
			open = append(open, r)
		} else {
			ended := *r
			ended.State = state
			changes = append(changes, rowChange{
				row: r.Item.Row, to: state, was: r.was, review: ended.Own() && rec.NeedsReview(), reviewed: r.reviewed, code: ended.counted(), wasCode: r.wasCode,
			})
			if t.b.keepsUpload(rec) {
				cut = append(cut, r)
			}
		}
	}
	t.finishRows(ctx, cut)
	return open, calls, t.Progress.setRows(ctx, t.b.ID, false, changes...)
}

// keepsUpload reports whether the tail of a row's final record may have been cut before it deleted the uploaded image.
func (b *Batch) keepsUpload(rec *storage.Record) bool {
	return b.Uploads && rec != nil && rec.Batch == b.ID && rec.UploadDeletedAt.IsZero() && rec.Erased == nil &&
		(rec.State == storage.StateValid || rec.State == storage.StateInvalid)
}

func attemptsFrom(rec *storage.Record, run int) int {
	n := 0
	for _, a := range rec.Attempts {
		if a.Run >= run {
			n++
		}
	}
	return n
}

// pushParallel is over how many connections rows are enqueued.
const pushParallel = 8

// push enqueues rows.
func (t *feed) push(ctx context.Context, rows []*Row) error {
	rows = slices.DeleteFunc(slices.Clone(rows), func(r *Row) bool { return r.Item.Erased }) // without an input, there is nothing to enqueue
	queued := make([]bool, len(rows))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(pushParallel)
	for i, r := range rows {
		group.Go(func() error {
			status, err := t.Client.Push(gctx, r.spec)
			queued[i] = status == tasks.AlreadyQueued
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("feed: %w", err)
	}
	var foreign []*Row
	for i, r := range rows {
		if queued[i] {
			foreign = append(foreign, r)
		}
	}
	return t.Progress.addForeign(ctx, t.b.ID, foreign)
}
