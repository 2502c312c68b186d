package batch

import (
	"context"
	"slices"
	"time"

	"github.com/kycq/kycq/internal/batch/manifest"
)

// Rows that were fed and that no worker will speak of by itself: those whose id is in other hands, and those whose task
// Redis has lost.

// seeElsewhere looks at rows whose id had a task already when they were fed: another batch's, a single job's, or their own
// after a feeder died. They are settled by the record, whoever writes it.
func (t *feed) seeElsewhere(ctx context.Context) error {
	if time.Since(t.lastElsewhere) < elsewhereEvery {
		return nil
	}
	t.lastElsewhere = time.Now()
	rows, err := t.Progress.elsewhere(ctx, t.b.ID, elsewhereLimit)
	if err != nil || len(rows) == 0 {
		return err
	}
	slices.SortFunc(rows, func(a, b Rerun) int { return a.Row - b.Row }) // each part once
	orders, err := t.ordersOf(ctx, rows)
	if err != nil {
		return err
	}
	found, err := t.lookAgain(ctx, orders)
	if err != nil {
		return err
	}
	var settled []Rerun
	for i := range orders {
		open := slices.ContainsFunc(found.feed, func(o order) bool { return o.item.Row == orders[i].item.Row })
		if !open {
			settled = append(settled, rows[i])
		}
	}
	// A row without a record may have lost its task with the one that stood in its way.
	lost := slices.DeleteFunc(found.feed, func(o order) bool { return o.rec != nil })
	if err := t.push(ctx, lost); err != nil {
		return err
	}
	return t.Progress.dropElsewhere(ctx, t.b.ID, settled)
}

func (t *feed) lookAgain(ctx context.Context, orders []order) (findings, error) {
	if err := t.b.look(ctx, t.Store, t.Client, orders); err != nil {
		return findings{}, err
	}
	return t.settleKnown(ctx, orders)
}

// looseAfter is how long the open rows of a batch may stand still before they are looked for one by one: longer than a
// vendor's bad spell (the breaker's five minutes) would make it pointless, shorter would make it frequent.
const looseAfter = 2 * time.Minute

// waitFor waits for open rows. Where none has ended for a while, all are looked at: a row that is final is counted, one
// without a task is fed again.
func (t *feed) waitFor(ctx context.Context, p *Progress, outstanding int) (int, time.Duration, error) {
	still, err := t.Progress.stillFor(ctx, t.b.ID, p.Ended())
	if err != nil || still < looseAfter {
		return 0, 0, err
	}
	t.Log.Info().Str("batch", t.b.ID).Int("rows", outstanding).Msg("rows stand still: looking at their records")
	for from := 1; from <= t.b.Rows; from += manifest.PartRows {
		if err := t.collect(ctx, p, from, min(from+manifest.PartRows-1, t.b.Rows)); err != nil {
			return 0, 0, err
		}
	}
	return 0, idleDelay, t.Progress.moved(ctx, t.b.ID, p.Ended())
}

// collect looks at the open rows of a part.
func (t *feed) collect(ctx context.Context, p *Progress, from, to int) error {
	states, err := t.Progress.states(ctx, t.b.ID, from, to)
	if err != nil {
		return err
	}
	run := t.b.run(p.Pass)
	var rows []Rerun
	for i, s := range states {
		if s == RowOpen && (run.Kind == SomeRows || from+i <= p.Cursor) {
			rows = append(rows, Rerun{Row: from + i, Run: 1})
		}
	}
	if len(rows) == 0 {
		return nil
	}
	if run.Kind == SomeRows {
		if err := t.askedRuns(ctx, run, rows); err != nil {
			return err
		}
	}
	orders, err := t.ordersOf(ctx, rows)
	if err != nil {
		return err
	}
	if err := t.b.look(ctx, t.Store, t.Client, orders); err != nil {
		return err
	}
	if run.Kind == Amend {
		err = t.nextRuns(orders)
	}
	if err != nil {
		return err
	}
	found, err := t.settleKnown(ctx, orders)
	if err != nil {
		return err
	}
	return t.push(ctx, found.feed)
}

// askedRuns fills in which run the pass asks of its rows.
func (t *feed) askedRuns(ctx context.Context, run Run, rows []Rerun) error {
	for n := 0; n*listRows < run.Rows; n++ {
		list, err := t.batches.readList(ctx, t.b.ID, run.List, n)
		if err != nil {
			return err
		}
		for _, asked := range list {
			i, found := slices.BinarySearchFunc(rows, asked.Row, func(r Rerun, row int) int { return r.Row - row })
			if found {
				rows[i].Run = asked.Run
			}
		}
	}
	return nil
}
