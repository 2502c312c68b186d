package batch

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// RowState is the state of a row in the progress store, four bits.
type RowState byte

// The states of a row. RowDone... are rows whose verification_id had its final record already, from another batch or a
// single job: this batch made no call for them.
const (
	RowOpen RowState = iota
	RowValid
	RowInvalid
	RowFailed
	RowCancelled
	RowConflict // its verification_id belongs to a job with another input
	RowDoneValid
	RowDoneInvalid
	RowDoneFailed
	RowDoneCancelled

	// rowEarlier is a row that ended before the progress was lost; the summary counts it.
	rowEarlier RowState = 15
)

const (
	rowStates = int(RowDoneCancelled) + 1
	// doneOffset is the distance from RowValid to RowDoneValid, and so on.
	doneOffset = RowDoneValid - RowValid
)

// The codes that this package compares or sets; the others are the worker's.
const (
	CodeDifferentInput = "different_input" // of a RowConflict
	codeAnswerLost     = "answer_lost"
)

var ownState = map[storage.State]RowState{
	storage.StateValid: RowValid, storage.StateInvalid: RowInvalid,
	storage.StateFailed: RowFailed, storage.StateCancelled: RowCancelled,
}

// outcomes are the outcomes of rows that have ended. rowEarlier has none.
var outcomes = map[RowState]storage.State{
	RowValid: storage.StateValid, RowDoneValid: storage.StateValid,
	RowInvalid: storage.StateInvalid, RowDoneInvalid: storage.StateInvalid,
	RowFailed: storage.StateFailed, RowDoneFailed: storage.StateFailed, RowConflict: storage.StateFailed,
	RowCancelled: storage.StateCancelled, RowDoneCancelled: storage.StateCancelled,
}

// Outcome is the outcome of a row that has ended, else empty.
func (s RowState) Outcome() string { return string(outcomes[s]) }

// AlreadyDone reports whether the final record came from another batch or a single job.
func (s RowState) AlreadyDone() bool { return s >= RowDoneValid && s <= RowDoneCancelled }

// Row is a row of the manifest with the record of its verification_id.
type Row struct {
	Item   *manifest.Item
	Record *storage.Record // nil if there is none, or if it was not read
	State  RowState        // RowOpen unless the row has ended; Walk and Select set it

	batch    string
	run      int      // the run of the job that is asked for
	was      RowState // how the row had ended before a retry
	reviewed bool     // whether a person should have looked at its image then
	wasCode  string   // its code then
	spec     tasks.JobSpec
	driven   bool // it has a task that will be delivered
	invalid  bool // the input cannot be enqueued: an earlier version accepted it
}

// Queued returns the record of a row that S3 has no record of, because no call was made for it.
func (b *Batch) Queued(it *manifest.Item) *storage.Record {
	return &storage.Record{
		Version: storage.RecordVersion, JobSpec: tasks.JobSpec{
			Kind: b.Kind, VerificationID: it.ID, Lane: tasks.Bulk, Run: 1, Batch: b.ID, Row: it.Row, Line: it.Line,
		},
		State: storage.StateQueued, CreatedAt: b.CreatedAt, UpdatedAt: b.CreatedAt,
	}
}

// rowsOf returns the rows of items, each asking for run 1 of its job.
func rowsOf(items []manifest.Item, batch string) []*Row {
	rows := make([]*Row, len(items))
	for i := range items {
		rows[i] = &Row{Item: &items[i], batch: batch, run: 1}
	}
	return rows
}

// Erased reports whether the row's data was erased, so that a report does not show its input.
func (r *Row) Erased() bool { return r.Item.Erased || r.Record != nil && r.Record.Erased != nil }

// Own reports whether the record is about this row's input, so that it may be shown.
func (r *Row) Own() bool { return r.Record != nil && r.State != RowConflict }

// Code is the code with which the row ended, if any.
func (r *Row) Code() string {
	switch {
	case r.State == RowConflict:
		return CodeDifferentInput
	case r.Record != nil:
		return r.Record.Code
	case r.State == RowCancelled:
		return "cancelled"
	case r.State == RowFailed:
		return "input_invalid"
	}
	return ""
}

// codeMismatch counts the passports that are valid and differ from the input, among the codes. Their records have no code.
const codeMismatch = "mismatch"

// counted is the code under which the end of a job is counted in Redis, if any: that of the record, or advice.Unlisted.
func counted(rec *storage.Record) string {
	if rec.State == storage.StateValid && rec.Code == "" && rec.Passport.Mismatch() {
		return codeMismatch
	}
	return advice.Listed(rec.Code)
}

// counted is the code under which the end of the row is counted, if any.
func (r *Row) counted() string {
	if r.Own() {
		return counted(r.Record)
	}
	return r.Code()
}

// HasCode reports whether a record's code is meant by code, which may be advice.Unlisted.
func HasCode(code, recorded string) bool { return recorded == code || advice.Listed(recorded) == code }

// Calls counts the requests that this batch made for the row, in all runs.
func (r *Row) Calls() int {
	if !r.Own() || r.Record.Batch != r.batch {
		return 0
	}
	return len(r.Record.Attempts)
}

// outcome is the outcome of a row that has ended, else the state of its record.
func (r *Row) outcome() string {
	if o := r.State.Outcome(); o != "" {
		return o
	}
	if r.Own() {
		return string(r.Record.State)
	}
	return "queued"
}

// judge returns the state of the row by its record.
func (r *Row) judge() RowState {
	rec := r.Record
	switch {
	case rec == nil && r.invalid:
		return RowFailed
	case rec == nil:
		return RowOpen
	case rec.Erased != nil && rec.State.Final() && rec.Batch == r.batch: // never goes on
		return ownState[rec.State]
	case rec.Erased != nil && rec.State.Final():
		return ownState[rec.State] + doneOffset
	case !r.Item.Erased && rec.Fingerprint != r.spec.Fingerprint:
		return RowConflict
	case !rec.State.Final(), rec.Run < r.run:
		return RowOpen
	case rec.Batch != r.batch:
		return ownState[rec.State] + doneOffset
	}
	return ownState[rec.State]
}

// Records reads the records of jobs.
type Records interface {
	Record(ctx context.Context, kind tasks.Kind, id string) (*storage.Record, storage.Version, error)
}

// Preparer seals a job without writing it anywhere.
type Preparer interface {
	Prepare(job tasks.Job) (tasks.JobSpec, error)
}

// prepare seals the inputs of rows.
func (b *Batch) prepare(client Preparer, rows []*Row) error {
	for _, r := range rows {
		if r.invalid = r.Item.Erased; r.invalid {
			continue
		}
		job, err := r.Item.Job(b.ID, b.Kind, r.run)
		if err != nil {
			return err
		}
		r.spec, err = client.Prepare(job)
		var invalid *tasks.InvalidError
		if r.invalid = errors.As(err, &invalid); err != nil && !r.invalid {
			return fmt.Errorf("line %d: %w", r.Item.Line, err)
		}
	}
	return nil
}

// read prepares rows and reads their records.
func (b *Batch) read(ctx context.Context, records Records, client Preparer, rows []*Row) error {
	if err := b.prepare(client, rows); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readParallel)
	for _, r := range rows {
		group.Go(func() error {
			rec, _, err := records.Record(ctx, b.Kind, r.Item.ID)
			if err != nil && !errors.Is(err, storage.ErrNotFound) {
				return err
			}
			r.Record = rec
			return nil
		})
	}
	return group.Wait()
}

// Walk visits all rows in order, with their records. It holds one part in memory.
func (b *Batch) Walk(ctx context.Context, parts *Parts, records Records, client Preparer, visit func(*Row) error) error {
	for n := 1; n <= b.Rows; n += manifest.PartRows {
		rows, err := b.RowsFrom(ctx, parts, records, client, n, manifest.PartRows)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if err := visit(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// RowsFrom returns rows with their records: the one with the given number, counted from 1, and those after it, most in all and
// out of one part. It returns none beyond the last row.
func (b *Batch) RowsFrom(ctx context.Context, parts *Parts, records Records, client Preparer, number, most int) ([]*Row, error) {
	if number < 1 || number > b.Rows {
		return nil, nil
	}
	part, err := parts.Part(ctx, (number-1)/manifest.PartRows)
	if err != nil {
		return nil, err
	}
	first := min((number-1)%manifest.PartRows, len(part.Items))
	rows := rowsOf(part.Items, b.ID)
	last := min(first+most, len(rows))
	if fed := min(last, b.fedOf(part)); fed > first {
		if err := b.read(ctx, records, client, rows[first:fed]); err != nil {
			return nil, err
		}
	}
	for _, r := range rows[first:last] {
		b.setState(r)
	}
	return rows[first:last], nil
}

// fedOf is how many rows of a part may have a record of this batch: after a cancel, only those that were fed.
func (b *Batch) fedOf(part *manifest.Part) int {
	if b.State != Cancelled || !b.Done() && !b.ending {
		return len(part.Items)
	}
	return min(max(b.Fed-part.Number*manifest.PartRows, 0), len(part.Items))
}

// setState sets the state that people see. A cancelled batch counts every row that it has not touched as cancelled.
func (b *Batch) setState(r *Row) {
	r.State = r.judge()
	untouched := r.Record == nil || r.Record.Batch != b.ID
	if b.State == Cancelled && r.State == RowOpen && untouched {
		r.State, r.Record = RowCancelled, nil
	}
}
