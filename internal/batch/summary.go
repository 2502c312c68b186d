package batch

import (
	"context"
	"errors"
	"time"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Summary is summary.json, the counts of a batch when it last ended. It holds no personal data.
type Summary struct {
	Version int        `json:"version"`
	ID      string     `json:"id"`
	Kind    tasks.Kind `json:"kind"`
	State   State      `json:"state"`
	Plan    string     `json:"plan"`
	Runs    int        `json:"passes"` // finished runs over the rows
	Rows    int        `json:"rows"`
	Calls   int        `json:"calls"` // requests that this batch made to Cashfree, in all runs
	// Outcomes counts all rows by outcome; AlreadyDone those whose final record came from another batch or a single job.
	Outcomes    map[string]int `json:"outcomes"`
	AlreadyDone map[string]int `json:"already_done"`
	// DifferentInput counts the failed rows whose id belongs to a job with another input.
	DifferentInput int `json:"different_input"`
	// NeverCalled counts the cancelled rows without a record.
	NeverCalled int `json:"never_called"`
	// Reviews counts the rows whose image a person should look at.
	Reviews int `json:"reviews,omitempty"`
	// Codes counts the rows by code; "mismatch" the valid passports that differ from the input.
	Codes     map[string]int `json:"codes"`
	CreatedAt time.Time      `json:"created_at"`
	EndedAt   time.Time      `json:"ended_at"`
}

func newSummary(b *Batch) *Summary {
	return &Summary{
		Version: batchVersion, ID: b.ID, Kind: b.Kind, State: b.State, Plan: b.Plan, Runs: len(b.Runs), Rows: b.Rows,
		Outcomes: map[string]int{}, AlreadyDone: map[string]int{}, Codes: map[string]int{},
		CreatedAt: b.CreatedAt, EndedAt: now(),
	}
}

// add counts one row.
func (s *Summary) add(r *Row) {
	outcome := r.State.Outcome()
	s.Outcomes[outcome]++
	if r.State.AlreadyDone() {
		s.AlreadyDone[outcome]++
	}
	switch {
	case r.State == RowConflict:
		s.DifferentInput++
	case r.Record == nil && r.State == RowCancelled:
		s.NeverCalled++
	}
	if code := r.counted(); code != "" {
		s.Codes[code]++
	}
	if r.Own() && r.Record.NeedsReview() {
		s.Reviews++
	}
	s.Calls += r.Calls()
}

// progress returns the counts as those of a batch whose runs are over.
func (s *Summary) progress() *Progress {
	p := &Progress{Run: s.Runs, Rows: s.Rows, Calls: s.Calls, Reviews: s.Reviews, Codes: s.Codes, missingStreak: -1}
	for state, own := range ownState {
		done := s.AlreadyDone[string(state)]
		p.Counts[own], p.Counts[own+doneOffset] = s.Outcomes[string(state)]-done, done
	}
	p.Counts[RowFailed] -= s.DifferentInput
	p.Counts[RowConflict] = s.DifferentInput
	return p
}

// Summary reads the counts of a batch that has ended.
func (s *Store) Summary(ctx context.Context, id string) (*Summary, error) {
	sum, err := s.summary(ctx, id)
	if err == nil && sum == nil {
		err = ErrNotFound
	}
	return sum, err
}

// summary reads the summary of the batch's last end, nil if there is none.
func (s *Store) summary(ctx context.Context, id string) (*Summary, error) {
	sum := new(Summary)
	_, err := s.get(ctx, summaryKey(id), sum)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	return sum, err
}
