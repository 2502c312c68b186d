package batch

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// listPart names an object with rows of a retry.
type listPart struct {
	batch, list string
	number      int
}

// listLife is how long the rows of a retry, which never change, are kept in memory.
const listLife = 10 * time.Minute

// RunAsked reports whether batch.json asks for the run of the job: as a row of a retry, or as a cancelled row of a batch that
// was amended. The payload alone is not enough: Redis may have kept it from before.
func (s *ProgressStore) RunAsked(ctx context.Context, job tasks.JobSpec, rec *storage.Record) (bool, error) {
	b, err := s.batches.Load(ctx, job.Batch)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, run := range b.Runs {
		if run.Kind == Amend && job.Run == rec.Run+1 && amends(rec) {
			return true, nil
		}
		if run.Kind == SomeRows {
			if asked, err := s.lists(ctx, b.ID, run, job); err != nil || asked {
				return asked, err
			}
		}
	}
	return false, nil
}

// amends reports whether an amended batch runs the cancelled row again. Only `batch retry --lost` may pay for a lost answer
// again.
func amends(rec *storage.Record) bool {
	return rec.State == storage.StateCancelled && rec.Code != codeAnswerLost
}

// lists reports whether a retry lists the run of the job. Its rows are in order.
func (s *ProgressStore) lists(ctx context.Context, id string, run Run, job tasks.JobSpec) (bool, error) {
	for first, end := 0, (run.Rows+listRows-1)/listRows; first < end; {
		at := (first + end) / 2
		rows, err := s.parts.get(listPart{id, run.List, at}, func() ([]Rerun, error) { return s.batches.readList(ctx, id, run.List, at) })
		if err != nil {
			return false, err
		}
		i, found := slices.BinarySearchFunc(rows, job.Row, func(r Rerun, row int) int { return r.Row - row })
		switch {
		case found:
			return rows[i].Run == job.Run, nil
		case i == 0:
			end = at
		case i == len(rows):
			first = at + 1
		default:
			return false, nil
		}
	}
	return false, nil
}
