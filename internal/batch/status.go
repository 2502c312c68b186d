package batch

import (
	"context"
	"errors"
	"time"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Status is a batch for those who watch it.
type Status struct {
	Batch   string     `json:"batch"`
	Kind    tasks.Kind `json:"kind"`
	State   State      `json:"state"`
	Reason  string     `json:"reason,omitempty"`
	Run     int        `json:"run"`
	Runs    int        `json:"passes"`
	Rows    int        `json:"rows"`
	Ended   int        `json:"ended"`
	Open    int        `json:"open"` // fed, not ended
	Waiting int        `json:"waiting"`
	// Outcomes counts the ended rows; AlreadyDone those of them that had their record from elsewhere.
	Outcomes       map[string]int `json:"outcomes"`
	AlreadyDone    int            `json:"already_done"`
	DifferentInput int            `json:"different_input"`
	Calls          int            `json:"calls"`
	MaxCalls       int            `json:"max_calls,omitempty"`
	// Rebuilding says that Redis was wiped and the records are being read: the counts still grow.
	Rebuilding bool      `json:"rebuilding,omitempty"`
	Done       bool      `json:"done"`
	CreatedAt  time.Time `json:"created_at"`
	EndedAt    time.Time `json:"ended_at,omitzero"`
}

// Status tells how far a batch has come, from Redis, or from its summary once it is over. It reads no row.
func (c *Control) Status(ctx context.Context, id string) (*Status, *Batch, error) {
	b, err := c.Batches.Load(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	s, err := c.StatusOf(ctx, b)
	return s, b, err
}

// StatusOf is Status of a batch that was read already.
func (c *Control) StatusOf(ctx context.Context, b *Batch) (*Status, error) {
	s := &Status{
		Batch: b.ID, Kind: b.Kind, State: b.State, Reason: b.Reason, Runs: len(b.Runs), Rows: b.Rows, MaxCalls: b.MaxCalls,
		Done: b.Done(), CreatedAt: b.CreatedAt, EndedAt: b.EndedAt, Outcomes: map[string]int{},
	}
	if b.Done() {
		sum, err := c.Batches.Summary(ctx, b.ID)
		if err != nil {
			return nil, err
		}
		if sum != nil {
			s.fromSummary(sum)
			return s, nil
		}
	}
	p, err := c.Progress.Read(ctx, b.ID)
	if err != nil {
		return nil, err
	}
	if p == nil {
		s.Rebuilding, s.Waiting = true, b.Rows
		return s, nil
	}
	s.fromProgress(b, p)
	return s, nil
}

func (s *Status) fromSummary(sum *Summary) {
	s.Run, s.Ended, s.Calls = sum.Runs, sum.Rows, sum.Calls
	s.Outcomes, s.DifferentInput = sum.Outcomes, sum.DifferentInput
	for _, n := range sum.AlreadyDone {
		s.AlreadyDone += n
	}
}

func (s *Status) fromProgress(b *Batch, p *Progress) {
	s.Run, s.Ended, s.Calls = p.Pass, p.Ended(), p.Calls
	s.Rebuilding = p.blank >= 0
	if s.Reason == "" {
		s.Reason = p.Reason
	}
	for state, n := range p.Counts {
		if n == 0 {
			continue
		}
		s.Outcomes[RowState(state).Outcome()] += n
		if RowState(state).Elsewhere() {
			s.AlreadyDone += n
		}
	}
	s.DifferentInput = p.Counts[RowConflict]
	if p.Pass <= len(b.Runs) {
		s.Open = p.outstanding(b.run(p.Pass).Kind)
	}
	s.Waiting = max(0, s.Rows-s.Ended-s.Open)
}

// NotWell counts the ended rows that a person should look at.
func (s *Status) NotWell() int {
	return s.Outcomes[string(storage.StateFailed)] + s.Outcomes[string(storage.StateInvalid)] + s.Outcomes[string(storage.StateCancelled)]
}

// Left counts the rows that are still to be called for, over all batches of a kind that are not done.
func (c *Control) Left(ctx context.Context, kind tasks.Kind) (int, error) {
	open, err := c.Batches.Open(ctx)
	if err != nil {
		return 0, err
	}
	left := 0
	for _, b := range open {
		if b.Kind != kind || b.State == Cancelled {
			continue
		}
		s, err := c.StatusOf(ctx, b)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return 0, err
		}
		left += s.Rows - s.Ended
	}
	return left, nil
}
