package batch

import (
	"context"
	"slices"
	"time"

	"github.com/kycq/kycq/internal/batch/manifest"
)

const (
	// foreignEvery and foreignLimit bound how often and how many foreign rows are checked.
	foreignEvery = 5 * time.Second
	foreignLimit = 200
	// stalledAfter is how long no row may end before the records of the open rows are read. A shorter time would read them
	// often without need.
	stalledAfter = 2 * time.Minute
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

// waitForRows waits for open rows. If none has ended for a while, it reads all their records: a row with a final record is
// counted, a row that lost its task is enqueued again.
func (t *feed) waitForRows(ctx context.Context, p *Progress, outstanding int) (time.Duration, error) {
	idle, err := t.Progress.idleFor(ctx, t.b.ID, p)
	if err != nil || idle < stalledAfter {
		return 0, err
	}
	t.Log.Info().Str("batch", t.b.ID).Int("rows", outstanding).Msg("no row has ended for a while: reading the records of open rows")
	for first := 1; first <= t.b.Rows; first += manifest.PartRows {
		if err := t.checkStalled(ctx, p, first, min(first+manifest.PartRows-1, t.b.Rows)); err != nil {
			return 0, err
		}
	}
	return idleDelay, t.Progress.noteEnded(ctx, t.b.ID, p.Ended())
}

// checkStalled checks the open rows of a part.
func (t *feed) checkStalled(ctx context.Context, p *Progress, first, last int) error {
	states, err := t.Progress.states(ctx, t.b.ID, first, last)
	if err != nil {
		return err
	}
	run := t.b.run(p.Run)
	var list []Rerun
	for i, s := range states {
		if s == RowOpen && (run.Kind == SomeRows || first+i <= p.fed()) {
			list = append(list, Rerun{Row: first + i, Run: 1})
		}
	}
	if len(list) == 0 {
		return nil
	}
	if err := t.setRequestedRuns(ctx, run, list); err != nil {
		return err
	}
	_, open, err := t.recheck(ctx, run, list)
	if err != nil {
		return err
	}
	return t.push(ctx, open)
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
