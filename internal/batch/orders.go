package batch

import (
	"context"
	"strconv"
	"time"

	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/storage"
)

// orders are the next rows of a pass: at most n, at most to the end of a part.
func (t *feed) orders(ctx context.Context, p *Progress, run Run, n int) ([]order, error) {
	if run.Kind == SomeRows {
		return t.listed(ctx, p, run, n)
	}
	part, err := t.parts.Part(ctx, manifest.PartOf(p.Cursor+1))
	if err != nil {
		return nil, err
	}
	at := p.Cursor % manifest.PartRows
	items := part.Items[at:min(at+n, len(part.Items))]
	orders := make([]order, len(items))
	for i := range items {
		orders[i] = order{item: &items[i], run: 1}
	}
	return orders, nil
}

func (t *feed) listed(ctx context.Context, p *Progress, run Run, n int) ([]order, error) {
	number := p.Cursor / listRows
	if t.list.name != run.List || t.list.number != number {
		rows, err := t.batches.readList(ctx, t.b.ID, run.List, number)
		if err != nil {
			return nil, err
		}
		t.list.name, t.list.number, t.list.rows = run.List, number, rows
	}
	at := p.Cursor % listRows
	rows := t.list.rows[at:min(at+n, len(t.list.rows))]
	return t.ordersOf(ctx, rows)
}

func (t *feed) ordersOf(ctx context.Context, rows []Rerun) ([]order, error) {
	orders := make([]order, len(rows))
	for i, r := range rows {
		item, err := t.parts.Row(ctx, r.Row)
		if err != nil {
			return nil, err
		}
		orders[i] = order{item: item, run: r.Run, was: r.Was}
	}
	return orders, nil
}

// findings is what is known of rows before they are fed.
type findings struct {
	feed  []order // those that are to be fed
	calls int     // calls in records of which the board does not know
	blank string  // new value of the count of rows without a record; empty to leave it
}

// settleFirst marks what needs no task, and tells what does. Records are read where the board is not to be trusted, or
// where the pass depends on them.
func (t *feed) settleFirst(ctx context.Context, p *Progress, run Run, orders []order) (findings, error) {
	if run.Kind == SomeRows {
		if err := t.reopen(ctx, orders); err != nil {
			return findings{}, err
		}
	} else {
		var err error
		if orders, err = t.stillOpen(ctx, orders); err != nil {
			return findings{}, err
		}
	}
	rebuilding := p.blank >= 0
	if !rebuilding && run.Kind != Amend {
		return t.settleInvalid(ctx, orders)
	}
	if err := t.b.look(ctx, t.Store, t.Client, orders); err != nil {
		return findings{}, err
	}
	if run.Kind == Amend {
		if err := t.nextRuns(orders); err != nil {
			return findings{}, err
		}
	}
	found, err := t.settleKnown(ctx, orders)
	if run.Kind == Amend {
		found.calls = 0 // counted by the passes before
	}
	if !rebuilding {
		return found, err
	}
	blank := p.blank
	for i := range orders {
		if blank++; orders[i].rec != nil {
			blank = 0
		}
	}
	// The cap counts what records tell, so with one all of them are read.
	if blank >= manifest.PartRows && p.Cap == 0 {
		blank = -1
	}
	found.blank = strconv.Itoa(blank)
	return found, err
}

// reopen takes back how the rows of a retry had ended.
func (t *feed) reopen(ctx context.Context, orders []order) error {
	changes := make([]rowChange, len(orders))
	for i, o := range orders {
		changes[i] = rowChange{row: o.item.Row, to: RowOpen, was: o.was}
	}
	return t.Progress.settle(ctx, t.b.ID, changes...)
}

// stillOpen leaves out the rows that are settled already: the cursor was not moved after they were fed.
func (t *feed) stillOpen(ctx context.Context, orders []order) ([]order, error) {
	if len(orders) == 0 {
		return nil, nil
	}
	states, err := t.Progress.states(ctx, t.b.ID, orders[0].item.Row, orders[len(orders)-1].item.Row)
	if err != nil {
		return nil, err
	}
	open := make([]order, 0, len(orders))
	for i := range orders {
		if states[i] == RowOpen {
			open = append(open, orders[i])
		}
	}
	return open, nil
}

// settleInvalid marks inputs that were accepted by an earlier version of the rules.
func (t *feed) settleInvalid(ctx context.Context, orders []order) (findings, error) {
	if err := t.b.prepare(t.Client, orders); err != nil {
		return findings{}, err
	}
	return t.settleKnown(ctx, orders)
}

// nextRuns turns the rows that a cancel ended into their next run. A call whose answer was lost is bought again only on a
// person's word: by `batch retry --lost`.
func (t *feed) nextRuns(orders []order) error {
	for i := range orders {
		rec := orders[i].rec
		if rec == nil {
			continue
		}
		orders[i].run = rec.Run
		if rec.State == storage.StateCancelled && rec.Code != codeAnswerLost {
			orders[i].run++
		}
	}
	return t.b.prepare(t.Client, orders)
}

const codeAnswerLost = "answer_lost"

// settleKnown marks the rows whose end is known.
func (t *feed) settleKnown(ctx context.Context, orders []order) (findings, error) {
	var found findings
	var changes []rowChange
	for i := range orders {
		o := &orders[i]
		state := o.state(t.b.ID)
		switch {
		case state == RowOpen && o.rec != nil && o.rec.Run > o.run:
			state = RowFailed // a later run, or a single retry, runs it again
		case state == RowOpen && o.rec == nil && t.b.State == Cancelled:
			state = RowCancelled // fed once, never claimed: the batch speaks for it
		}
		if o.rec != nil && o.rec.Batch == t.b.ID && o.rec.Run >= o.run {
			found.calls += attemptsFrom(o.rec, o.run)
		}
		if state == RowOpen {
			found.feed = append(found.feed, *o)
		} else {
			changes = append(changes, rowChange{row: o.item.Row, to: state, was: o.was})
		}
	}
	return found, t.Progress.settle(ctx, t.b.ID, changes...)
}

func attemptsFrom(rec *storage.Record, run int) int {
	n := 0
	for _, at := range rec.Attempts {
		if at.Run >= run {
			n++
		}
	}
	return n
}

const (
	// elsewhereEvery and elsewhereLimit pace the looks at rows in other hands.
	elsewhereEvery = 5 * time.Second
	elsewhereLimit = 200
)
