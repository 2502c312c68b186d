package batch

import (
	"context"
	"time"

	"github.com/kycq/kycq/tasks"
)

// Status is the progress of a batch, for people and scripts.
type Status struct {
	Batch   string     `json:"batch"`
	Kind    tasks.Kind `json:"kind"`
	State   State      `json:"state"`
	Reason  string     `json:"reason,omitempty"`
	Pause   *Pause     `json:"pause,omitempty"`
	Run     int        `json:"run"` // number of the present run over the rows
	Runs    int        `json:"runs"`
	Rows    int        `json:"rows"`
	Ended   int        `json:"ended"`
	Open    int        `json:"open"` // fed, not ended
	Waiting int        `json:"waiting"`
	// Outcomes counts the ended rows; AlreadyDone those whose final record came from another batch or a single job.
	Outcomes       map[string]int `json:"outcomes"`
	AlreadyDone    int            `json:"already_done"`
	DifferentInput int            `json:"different_input"`
	Calls          int            `json:"calls"`
	MaxCalls       int            `json:"max_calls,omitempty"`
	// Reviews counts the ended rows whose image a person should look at.
	Reviews int `json:"reviews,omitempty"`
	// Mismatches counts the valid passports whose name, date of birth or file number differs from the input.
	Mismatches int `json:"mismatches"`
	// Codes counts the ended rows by code.
	Codes map[string]int `json:"codes"`
	// EndPerMinute is how many rows ended in a minute lately; 0 if that is not known.
	EndPerMinute float64 `json:"-"`
	// Rebuilding means that Redis was wiped and the records are being read: the counts are too small.
	Rebuilding bool      `json:"rebuilding,omitempty"`
	Done       bool      `json:"done"`
	CreatedAt  time.Time `json:"created_at"`
	EndedAt    time.Time `json:"ended_at,omitzero"`
}

// Status reads a batch and its status.
func (c *Control) Status(ctx context.Context, id string) (*Status, *Batch, error) {
	b, err := c.Batches.Load(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	s, err := c.StatusOf(ctx, b)
	return s, b, err
}

// StatusOf returns the status of a batch, from Redis, or from its summary if it is done. It reads no rows.
func (c *Control) StatusOf(ctx context.Context, b *Batch) (*Status, error) {
	s := &Status{
		Batch: b.ID, Kind: b.Kind, State: b.State, Reason: b.Reason, Pause: b.Pause, Runs: len(b.Runs), Rows: b.Rows, MaxCalls: b.MaxCalls,
		Done: b.Done(), CreatedAt: b.CreatedAt, EndedAt: b.EndedAt, Outcomes: map[string]int{}, Codes: map[string]int{},
	}
	p, err := c.progressOf(ctx, b)
	if err != nil {
		return nil, err
	}
	if p == nil {
		s.Rebuilding, s.Waiting = true, b.Rows
	} else {
		s.setProgress(b, p)
	}
	return s, nil
}

// progressOf reads the progress of a batch, nil if there is none.
func (c *Control) progressOf(ctx context.Context, b *Batch) (*Progress, error) {
	if b.Done() {
		if sum, err := c.Batches.summary(ctx, b.ID); err != nil {
			return nil, err
		} else if sum != nil {
			return sum.progress(), nil
		}
	}
	return c.Progress.Read(ctx, b.ID)
}

func (s *Status) setProgress(b *Batch, p *Progress) {
	s.Run, s.Ended, s.Calls, s.Reviews, s.Rebuilding = p.Run, p.Ended(), p.Calls, p.Reviews, p.rebuilding()
	s.Codes = map[string]int{}
	for code, n := range p.Codes {
		if code == codeMismatch {
			s.Mismatches = n
			continue
		}
		s.Codes[code] = n
	}
	s.EndPerMinute = p.PerMinute
	if s.Reason == "" {
		s.Reason = p.Reason
	}
	for state, n := range p.Counts {
		if n == 0 {
			continue
		}
		s.Outcomes[RowState(state).Outcome()] += n
		if RowState(state).AlreadyDone() {
			s.AlreadyDone += n
		}
	}
	s.DifferentInput = p.Counts[RowConflict]
	if p.Run <= len(b.Runs) {
		s.Open = p.outstanding(b.run(p.Run).Kind)
	}
	s.Waiting = max(0, s.Rows-s.Ended-s.Open)
}

// RowsAhead counts the rows of a kind that have not ended, over all open batches that are not paused.
func (c *Control) RowsAhead(ctx context.Context, kind tasks.Kind) (int, error) {
	return c.openRows(ctx, func(b *Batch) bool { return b.Kind == kind && b.State != Cancelled && b.State != Paused })
}

// RowsOf counts the rows that have not ended, over all open batches that an API key has submitted.
func (c *Control) RowsOf(ctx context.Context, key string) (int, error) {
	return c.openRows(ctx, func(b *Batch) bool { return b.SubmittedBy == key })
}

func (c *Control) openRows(ctx context.Context, counts func(*Batch) bool) (int, error) {
	open, err := c.Batches.Open(ctx)
	if err != nil {
		return 0, err
	}
	rows := 0
	for _, b := range open {
		if !counts(b) {
			continue
		}
		s, err := c.StatusOf(ctx, b)
		if err != nil {
			return 0, err
		}
		rows += s.Rows - s.Ended
	}
	return rows, nil
}
