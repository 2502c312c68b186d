package batch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Summary is summary.json: what a batch came to. Nothing in it is personal.
type Summary struct {
	Version int        `json:"version"`
	ID      string     `json:"id"`
	Kind    tasks.Kind `json:"kind"`
	State   State      `json:"state"`
	Plan    string     `json:"plan"`
	Runs    int        `json:"passes"` // how many are over
	Rows    int        `json:"rows"`
	Calls   int        `json:"calls"` // requests to Cashfree made for rows of this batch, in all runs
	// Outcomes counts all rows by outcome; AlreadyDone those of them whose id had its record from elsewhere.
	Outcomes    map[string]int `json:"outcomes"`
	AlreadyDone map[string]int `json:"already_done"`
	// DifferentInput counts the failed rows whose id belongs to a job with another input.
	DifferentInput int `json:"different_input"`
	// NeverCalled counts the cancelled rows that have no record.
	NeverCalled int `json:"never_called"`
	// Codes counts the rows by the code of their record.
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
func (s *Summary) add(e *Entry) {
	outcome := e.State.Outcome()
	s.Outcomes[outcome]++
	if e.State.Elsewhere() {
		s.AlreadyDone[outcome]++
	}
	switch {
	case e.State == RowConflict:
		s.DifferentInput++
	case e.Record == nil && e.State == RowCancelled:
		s.NeverCalled++
	}
	if code := e.Code(); code != "" {
		s.Codes[code]++
	}
	s.Calls += e.Calls()
}

// counts are the counts of a board, from which a later retry goes on.
func (s *Summary) counts() map[RowState]int {
	counts := map[RowState]int{RowConflict: s.DifferentInput}
	for own, state := range map[RowState]storage.State{
		RowValid: storage.StateValid, RowInvalid: storage.StateInvalid,
		RowFailed: storage.StateFailed, RowCancelled: storage.StateCancelled,
	} {
		counts[own+elsewhere] = s.AlreadyDone[string(state)]
		counts[own] = s.Outcomes[string(state)] - s.AlreadyDone[string(state)]
	}
	counts[RowFailed] -= s.DifferentInput
	return counts
}

// Summary reads what a batch came to when it last ended; nil where it never did.
func (c *Store) Summary(ctx context.Context, id string) (*Summary, error) {
	body, _, err := c.objects.Object(ctx, summaryKey(id))
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the summary of batch %s: %w", id, err)
	}
	s := new(Summary)
	if err := json.Unmarshal(body, s); err != nil {
		return nil, fmt.Errorf("read the summary of batch %s: not what kycq wrote", id)
	}
	return s, nil
}

func (c *Store) putSummary(ctx context.Context, s *Summary) error {
	body, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write the summary of batch %s: %w", s.ID, err)
	}
	return c.objects.PutObject(ctx, summaryKey(s.ID), body, jsonType)
}
