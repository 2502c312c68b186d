package batch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Records reads what became of jobs.
type Records interface {
	Record(ctx context.Context, kind tasks.Kind, id string) (*storage.Record, storage.Version, error)
}

// Preparer seals a job without writing it anywhere.
type Preparer interface {
	Prepare(job tasks.Job) (tasks.Payload, error)
}

// Entry is a row of the manifest together with its record.
type Entry struct {
	Item *manifest.Item
	// Record is nil where the id has none.
	Record *storage.Record
	// State is RowOpen for a row that has not ended.
	State RowState

	batch string
}

// Own tells whether the record is about this row's input, so that it may be shown.
func (e *Entry) Own() bool { return e.Record != nil && e.State != RowConflict }

// Code is the code of the row's end, empty where there is none to tell.
func (e *Entry) Code() string {
	switch {
	case e.State == RowConflict:
		return CodeDifferentInput
	case e.Record != nil:
		return e.Record.Code
	case e.State == RowCancelled:
		return "cancelled"
	case e.State == RowFailed:
		return "input_invalid"
	}
	return ""
}

// Calls counts the requests that were made for the row by this batch, in all runs.
func (e *Entry) Calls() int {
	if !e.Own() || e.Record.Batch != e.batch {
		return 0
	}
	return len(e.Record.Attempts)
}

// Walk goes through all rows in their order, with their records, which are read many at a time. It holds one part.
func (b *Batch) Walk(ctx context.Context, parts *Parts, records Records, prepare Preparer, visit func(*Entry) error) error {
	for n := range manifest.Parts(b.Rows) {
		part, err := parts.Part(ctx, n)
		if err != nil {
			return err
		}
		orders := make([]order, len(part.Items))
		for i := range part.Items {
			orders[i] = order{item: &part.Items[i], run: 1}
		}
		if err := b.look(ctx, records, prepare, orders[:b.fedOf(part)]); err != nil {
			return err
		}
		for i := range orders {
			if err := visit(b.entry(&orders[i])); err != nil {
				return err
			}
		}
	}
	return nil
}

// fedOf is how many rows of a part may have a record of this batch: after a cancel, those that were fed.
func (b *Batch) fedOf(part *manifest.Part) int {
	if b.State != Cancelled || !b.Done() && !b.ending {
		return len(part.Items)
	}
	return min(max(b.Fed-part.Number*manifest.PartRows, 0), len(part.Items))
}

// entry judges a row for people. In a cancelled batch the batch speaks for every row that it has not touched.
func (b *Batch) entry(o *order) *Entry {
	e := &Entry{Item: o.item, Record: o.rec, State: o.state(b.ID), batch: b.ID}
	untouched := o.rec == nil || o.rec.Batch != b.ID
	if b.State == Cancelled && e.State == RowOpen && untouched {
		e.State, e.Record = RowCancelled, nil
	}
	return e
}

// order is a row that is to be fed or looked at.
type order struct {
	item *manifest.Item
	run  int      // the run that is asked for
	was  RowState // how the row had ended before

	payload tasks.Payload
	invalid bool            // the input is not one that can be fed
	rec     *storage.Record // nil where there is none, or where it was not read
}

func (o *order) state(batch string) RowState {
	if o.rec == nil && o.invalid {
		return RowFailed
	}
	return Judge(o.rec, o.payload.Fingerprint, batch, o.run)
}

// prepare seals what the orders would feed.
func (b *Batch) prepare(client Preparer, orders []order) error {
	for i := range orders {
		o := &orders[i]
		job, err := o.item.Job(b.ID, b.Kind, o.run)
		if err != nil {
			return err
		}
		o.payload, err = client.Prepare(job)
		var invalid *tasks.InvalidError
		if o.invalid = errors.As(err, &invalid); err != nil && !o.invalid {
			return fmt.Errorf("row %d: %w", o.item.Row, err)
		}
	}
	return nil
}

// look prepares the orders and reads their records.
func (b *Batch) look(ctx context.Context, records Records, client Preparer, orders []order) error {
	if err := b.prepare(client, orders); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readParallel)
	for i := range orders {
		group.Go(func() error {
			rec, _, err := records.Record(ctx, b.Kind, orders[i].item.ID)
			if err != nil && !errors.Is(err, storage.ErrNotFound) {
				return err
			}
			orders[i].rec = rec
			return nil
		})
	}
	return group.Wait()
}

// idsOf are the ids of orders, for the open set.
func idsOf(orders []order) (ids []string) {
	for i := range orders {
		ids = append(ids, orders[i].item.ID)
	}
	return ids
}

// FirstCall is when the first request for the row left, zero where none did.
func (e *Entry) FirstCall() time.Time {
	if !e.Own() || len(e.Record.Attempts) == 0 {
		return time.Time{}
	}
	return e.Record.Attempts[0].SentAt
}
