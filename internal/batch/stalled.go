package batch

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

const (
	// foreignEvery and foreignLimit bound how often and how many foreign rows are checked.
	foreignEvery = 5 * time.Second
	foreignLimit = 200
)

// checkForeign checks rows whose verification_id had a task already when they were fed: another batch's, a single job's, or
// their own after a feeder died. Such a row ends when the record is final, even if another task ended it. A row without
// a record is enqueued again, since the other task may have been deleted.
func (t *feed) checkForeign(ctx context.Context) error {
	if time.Since(t.foreignChecked) < foreignEvery {
		return nil
	}
	t.foreignChecked = time.Now()
	list, err := t.Progress.foreign(ctx, t.b.ID, foreignLimit)
	if err != nil || len(list) == 0 {
		return err
	}
	slices.SortFunc(list, func(a, b Rerun) int { return a.Row - b.Row }) // opens each part once
	rows, open, err := t.recheck(ctx, Run{}, list)
	if err != nil {
		return err
	}
	ended := slices.DeleteFunc(rows, func(r *Row) bool { return slices.Contains(open, r) })
	lost := slices.DeleteFunc(open, func(r *Row) bool { return r.Record != nil })
	if err := t.push(ctx, lost); err != nil {
		return err
	}
	return t.Progress.dropForeign(ctx, t.b.ID, ended)
}

// checkOpen looks for the tasks of all open rows that were fed, every checkEvery, whatever Redis has forgotten. A row that no
// task drives is counted if its record is final, and else enqueued again.
func (t *feed) checkOpen(ctx context.Context, p *Progress) error {
	if t.openChecked {
		return nil
	}
	t.openChecked = true
	due, err := t.Progress.beginCheck(ctx, t.b.ID)
	if err != nil || !due {
		return err
	}
	missing := 0
	for first := 1; first <= t.b.Rows && err == nil; first += manifest.PartRows {
		var n int
		n, err = t.checkPart(ctx, p, first, min(first+manifest.PartRows-1, t.b.Rows))
		missing += n
	}
	if missing > 0 {
		t.Log.Warn().Str("batch", t.b.ID).Int("count", missing).Msg("open rows had no task in Redis: they are enqueued again")
		err = errors.Join(err, redisx.AddMissing(ctx, t.Redis, missing))
	}
	if err != nil {
		return errors.Join(err, t.Progress.dropCheck(ctx, t.b.ID))
	}
	return nil
}

// checkPart checks the open rows of a part, and returns how many it enqueued.
func (t *feed) checkPart(ctx context.Context, p *Progress, first, last int) (missing int, err error) {
	states, err := t.Progress.states(ctx, t.b.ID, first, last)
	if err != nil {
		return 0, err
	}
	run := t.b.run(p.Run)
	var list []Rerun
	for i, s := range states {
		if s == RowOpen && (run.Kind == SomeRows || first+i <= p.fed()) {
			list = append(list, Rerun{Row: first + i, Run: 1})
		}
	}
	if len(list) == 0 {
		return 0, nil
	}
	if err := t.setRequestedRuns(ctx, run, list); err != nil {
		return 0, err
	}
	rows, err := t.parts.rows(ctx, list)
	if err != nil {
		return 0, err
	}
	if run.Kind != Amend { // there, the record says which run of the job it is
		paused, err := t.lookForTasks(ctx, rows)
		if err != nil {
			return 0, err
		}
		if !paused {
			rows = slices.DeleteFunc(rows, func(r *Row) bool { return r.driven })
		}
	}
	return t.driveRows(ctx, run, rows)
}

// lookForTasks sets Row.driven. paused means that no task makes its row go on.
func (t *feed) lookForTasks(ctx context.Context, rows []*Row) (paused bool, err error) {
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = tasks.TaskID(r.Item.ID, r.run)
	}
	driven, paused, err := t.Client.Driven(ctx, tasks.Queue(t.b.Kind, tasks.Bulk), ids)
	for i := range driven {
		rows[i].driven = driven[i]
	}
	return paused || t.b.State == Paused, err
}

// finishTime bounds the processing of answered rows in one check; the next check goes on.
const finishTime = 2 * time.Minute

// driveRows reads the records of open rows, and makes sure that each that has not ended goes on. A row with an answer needs
// no task, and goes on while the queue or the batch is paused.
func (t *feed) driveRows(ctx context.Context, run Run, rows []*Row) (missing int, err error) {
	if len(rows) == 0 {
		return 0, nil
	}
	if err := t.readRows(ctx, run, rows); err != nil {
		return 0, err
	}
	open, _, err := t.setEnded(ctx, rows)
	if err != nil {
		return 0, err
	}
	paused, err := t.lookForTasks(ctx, open)
	if err != nil {
		return 0, err
	}
	var lost, answered []*Row
	for _, r := range open {
		switch {
		case r.driven && !paused:
		case r.Record != nil && r.Record.State == storage.StateAnswered && r.Record.Batch == t.b.ID:
			answered = append(answered, r)
		case !r.driven:
			lost = append(lost, r)
		}
	}
	if err := t.push(ctx, lost); err != nil {
		return 0, err
	}
	bounded, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	t.finishRows(bounded, answered)
	return len(lost), nil
}

// finishRows processes rows whose records need no call.
func (t *feed) finishRows(ctx context.Context, rows []*Row) {
	var group errgroup.Group
	group.SetLimit(pushParallel)
	for _, r := range rows {
		group.Go(func() error {
			if ctx.Err() == nil {
				t.Finish(ctx, r.Record.JobSpec)
			}
			return nil
		})
	}
	_ = group.Wait()
}

// recheck reads the records of the listed rows, and sets the states of those that have ended. The others are open.
func (t *feed) recheck(ctx context.Context, run Run, list []Rerun) (rows, open []*Row, err error) {
	if rows, err = t.parts.rows(ctx, list); err != nil {
		return nil, nil, err
	}
	if err := t.readRows(ctx, run, rows); err != nil {
		return nil, nil, err
	}
	open, _, err = t.setEnded(ctx, rows)
	return rows, open, err
}

// setRequestedRuns sets which run of its job a retry asked for, for each row of a sorted list.
func (t *feed) setRequestedRuns(ctx context.Context, run Run, list []Rerun) error {
	if run.Kind != SomeRows {
		return nil
	}
	for n := 0; n*listRows < run.Rows; n++ {
		part, err := t.batches.readList(ctx, t.b.ID, run.List, n)
		if err != nil {
			return err
		}
		for _, asked := range part {
			i, found := slices.BinarySearchFunc(list, asked.Row, func(r Rerun, row int) int { return r.Row - row })
			if found {
				list[i].Run = asked.Run
			}
		}
	}
	return nil
}
