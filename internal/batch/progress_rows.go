package batch

import (
	"context"
	"fmt"

	"github.com/kycq/kycq/storage"
)

// RowFinished sets the state of a row of this batch whose record is final.
func (s *ProgressStore) RowFinished(ctx context.Context, rec *storage.Record) error {
	return s.setRows(ctx, rec.Batch, true, rowChange{row: rec.Row, to: ownState[rec.State], review: rec.NeedsReview(), code: counted(rec)})
}

// AlreadyDone sets the state of a row whose final record belongs to another batch or a single job.
func (s *ProgressStore) AlreadyDone(ctx context.Context, id string, row int, rec *storage.Record) error {
	return s.setRows(ctx, id, true, rowChange{row: row, to: ownState[rec.State] + doneOffset, review: rec.NeedsReview(), code: counted(rec)})
}

// Conflicted sets the state of a row whose verification_id belongs to a job with another input.
func (s *ProgressStore) Conflicted(ctx context.Context, id string, row int) error {
	return s.setRows(ctx, id, true, rowChange{row: row, to: RowConflict, code: CodeDifferentInput})
}

// rowChange sets the state of a row (from 1), its code, and whether a person should look at its image. was, reviewed and
// wasCode are what it was before, if the stored state is rowEarlier.
type rowChange struct {
	row              int
	to, was          RowState
	review, reviewed bool
	code, wasCode    string
}

// setRows changes rows. lately is true if those that end have just ended: they make the pace of the batch.
func (s *ProgressStore) setRows(ctx context.Context, id string, lately bool, changes ...rowChange) error {
	if len(changes) == 0 {
		return nil
	}
	args := make([]any, 0, 1+7*len(changes))
	args = append(args, lately)
	for _, c := range changes {
		if c.row < 1 {
			return fmt.Errorf("progress of batch %s: there is no row %d", id, c.row)
		}
		args = append(args, c.row-1, int(c.to), int(c.was), c.review, c.reviewed, c.code, c.wasCode)
	}
	_, err := s.eval(ctx, setRowsScript, id, args...)
	return err
}

// states reads the states of the rows first to last (included), counting from 1.
func (s *ProgressStore) states(ctx context.Context, id string, first, last int) ([]RowState, error) {
	offset := (first - 1) / 2
	text, err := s.redis.GetRange(ctx, rowsKey(id), int64(offset), int64((last-1)/2)).Result()
	if err != nil {
		return nil, progressError(id, err)
	}
	states := make([]RowState, last-first+1)
	for i := range states {
		row := first - 1 + i
		if at := row/2 - offset; at < len(text) {
			states[i] = RowState(text[at]>>(4*(row%2))) & 15
		}
	}
	return states, nil
}
