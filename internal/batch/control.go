package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/asynqx"
	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Control is what operators do to batches.
type Control struct {
	Redis    redis.UniversalClient
	S3       *storage.Store
	Batches  *Store
	Progress *ProgressStore
}

// NewControl returns a Control for the batches in s3 and their progress in Redis.
func NewControl(client redis.UniversalClient, s3 *storage.Store) *Control {
	batches := NewStore(s3)
	return &Control{Redis: client, S3: s3, Batches: batches, Progress: NewProgressStore(client, batches)}
}

// Start schedules the feeding of an accepted batch. fresh means that the caller has just accepted it, so no row was fed.
func (c *Control) Start(ctx context.Context, b *Batch, fresh bool) error {
	if b.Done() {
		return nil
	}
	if fresh {
		if err := c.Progress.create(ctx, b, true, nil); err != nil {
			return err
		}
	}
	return Schedule(ctx, c.Redis, b.ID)
}

// Cancel stops the calls of a batch. It writes batch.json, which is authoritative, then Redis, which workers read before calls.
func (c *Control) Cancel(ctx context.Context, id string) (*Batch, error) {
	b, err := c.Batches.Edit(ctx, id, func(b *Batch) error {
		switch {
		case b.State == Cancelled:
			return errUnchanged
		case b.Done():
			return fmt.Errorf("%s: %w", id, ErrDone)
		}
		b.State, b.Reason, b.Pause, b.CancelledAt = Cancelled, "", nil, now()
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := c.Progress.Sync(ctx, b); err != nil {
		return b, fmt.Errorf("the batch is cancelled, but workers see it only when Redis is reachable: %w", err)
	}
	return b, Schedule(ctx, c.Redis, id)
}

// Pause stops feeding and calls of a batch until Resume. Like Cancel, it writes batch.json before Redis. Rows with an answer go
// on. A batch that is paused keeps its first pause.
func (c *Control) Pause(ctx context.Context, id string, p Pause) (*Batch, error) {
	b, err := c.Batches.Edit(ctx, id, func(b *Batch) error {
		switch {
		case b.State == Paused:
			return errUnchanged
		case b.State == Cancelled:
			return fmt.Errorf("%s: %w", id, ErrCancelled)
		case b.Done():
			return fmt.Errorf("%s: %w", id, ErrDone)
		}
		b.State, b.Reason, b.Pause = Paused, "", &Pause{p.By, p.Reason, now()}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := c.Progress.Sync(ctx, b); err != nil {
		return b, fmt.Errorf("the batch is paused, but workers see it only when Redis is reachable: %w", err)
	}
	return b, nil
}

// Resume ends the pause of a batch.
func (c *Control) Resume(ctx context.Context, id string) (*Batch, error) {
	return c.goOn(ctx, id, func(b *Batch) error {
		if b.State != Paused {
			return fmt.Errorf("%s: %w", id, ErrNotPaused)
		}
		b.State, b.Pause = Running, nil
		return nil
	})
}

// SetMaxCalls sets the call limit (0 for none), and continues a batch that had reached it.
func (c *Control) SetMaxCalls(ctx context.Context, id string, maxCalls int) (*Batch, error) {
	return c.goOn(ctx, id, func(b *Batch) error {
		if b.State == Cancelled {
			return fmt.Errorf("%s: %w", id, ErrCancelled)
		}
		b.MaxCalls = maxCalls
		if b.State == CallLimitReached {
			b.State, b.Reason = Running, ""
		}
		return nil
	})
}

// Amend continues a cancelled batch: cancelled rows get the next run of their job. A batch in another state is not changed.
func (c *Control) Amend(ctx context.Context, id string, maxCalls int) (*Batch, error) {
	return c.reopen(ctx, id, func(b *Batch) error {
		switch {
		case b.State != Cancelled:
			return errUnchanged
		case !b.Done():
			return fmt.Errorf("%s: %w", id, ErrStillOpen)
		}
		b.MaxCalls = maxCalls
		b.addRun(Run{Kind: Amend, Rows: b.Rows, Why: "amended", At: now()})
		return nil
	})
}

// Retry runs rows again, as the next run of their job. With an ifRuns other than 0, the error is ErrOtherRun if the batch has had
// another number of runs, so that a repeated request pays once.
func (c *Control) Retry(ctx context.Context, id string, ifRuns int, rows []Rerun, why string) (*Batch, error) {
	list, err := c.Batches.writeList(ctx, id, rows)
	if err != nil {
		return nil, err
	}
	return c.reopen(ctx, id, func(b *Batch) error {
		if b.State == Cancelled {
			return fmt.Errorf("%s: %w", id, ErrCancelled)
		}
		if ifRuns != 0 && ifRuns != len(b.Runs) {
			return ErrOtherRun
		}
		b.addRun(Run{Kind: SomeRows, Rows: len(rows), List: list, Why: why, At: now()})
		return nil
	})
}

// Decided corrects the counts of the batch of a record whose review was decided or erased. Summary and report of a batch that has ended
// are written again; if it is just ending, that happens after the decision. It may be repeated.
func (c *Control) Decided(ctx context.Context, rec *storage.Record) error {
	if err := c.Progress.RowFinished(ctx, rec); err != nil {
		return err
	}
	_, err := c.reopen(ctx, rec.Batch, func(b *Batch) error {
		b.Decisions++
		if b.State == Ended {
			b.State, b.Reason = Running, "a review was decided or erased: the report is being written again"
		}
		b.EndedAt = time.Time{}
		return nil
	})
	if errors.Is(err, ErrNotFound) { // a record may name any batch
		return nil
	}
	return err
}

// addRun appends a run and opens the batch. A pause remains.
func (b *Batch) addRun(run Run) {
	b.Runs = append(b.Runs, run)
	b.Reason, b.EndedAt = "", time.Time{}
	if b.State != Paused {
		b.State = Running
	}
}

// reopen changes a batch that is to be fed again.
func (c *Control) reopen(ctx context.Context, id string, change func(*Batch) error) (*Batch, error) {
	b, err := c.Batches.Edit(ctx, id, change)
	if err != nil || b.Done() {
		return b, err
	}
	if err := c.Progress.Sync(ctx, b); err != nil {
		return b, err
	}
	return b, Schedule(ctx, c.Redis, id)
}

// goOn is reopen for a batch whose rows were stopped: it delivers its feed task and the rows that wait at once.
func (c *Control) goOn(ctx context.Context, id string, change func(*Batch) error) (*Batch, error) {
	b, err := c.reopen(ctx, id, change)
	if err != nil || b.Done() {
		return b, err
	}
	asynqx.RunDelayed(c.Redis, Queue, 1000, func(d asynqx.Delayed) bool { return string(d.Payload) == id })
	asynqx.RunDelayed(c.Redis, tasks.Queue(b.Kind, tasks.Bulk), maxOutstanding, func(d asynqx.Delayed) bool {
		job, err := tasks.DecodePayload(d.Payload)
		return err == nil && job.Batch == id && (d.Code == "batch_paused" || d.Code == "call_limit_reached")
	})
	return b, nil
}

// Selection selects ended rows for a retry, by one of its fields.
type Selection struct {
	Code            string // rows whose record has this code, or one of several that are joined by +: see HasCode
	Failed, Invalid bool
	// Lost selects rows without a result whose call may have been charged although its answer did not arrive, whatever
	// their code is. Failed leaves them out, because a retry may pay for them twice.
	Lost bool
}

// String names the selection, for Run.Why and the audit trail.
func (s Selection) String() string {
	switch {
	case s.Code != "":
		return "code=" + s.Code
	case s.Failed:
		return "failed"
	case s.Invalid:
		return "invalid"
	case s.Lost:
		return "lost"
	}
	return "nothing"
}

func (s Selection) matches(rec *storage.Record) bool {
	unanswered := rec.State == storage.StateFailed || rec.State == storage.StateCancelled
	lost := unanswered && (rec.MaybeCharged() || rec.Code == codeAnswerLost)
	switch {
	case s.Code != "":
		return slices.ContainsFunc(strings.Split(s.Code, "+"), func(code string) bool { return HasCode(code, rec.Code) })
	case s.Failed:
		return rec.State == storage.StateFailed && !lost
	case s.Invalid:
		return rec.State == storage.StateInvalid
	case s.Lost:
		return lost
	}
	return false
}

// Selected is the result of Select.
type Selected struct {
	Rows []Rerun
	// InputGone is how many rows match, and cannot run again because kycq has deleted their image.
	InputGone int
	// PaidBefore is how many of the rows were, or may have been, charged.
	PaidBefore int
	// Codes counts the rows that a retry could select, by code, or by outcome if they have no code.
	Codes map[string]int
}

// Select finds the rows that a retry would run. With progress in Redis, the records of valid rows are not read. read is
// called with the number of rows checked so far.
func (c *Control) Select(ctx context.Context, b *Batch, parts *Parts, client Preparer, s Selection, read func(int)) (*Selected, error) {
	p, err := c.Progress.Read(ctx, b.ID)
	if err != nil {
		return nil, err
	}
	selected := &Selected{Codes: map[string]int{}}
	for n := range manifest.Parts(b.Rows) {
		part, err := parts.Part(ctx, n)
		if err != nil {
			return nil, err
		}
		rows, err := c.candidates(ctx, b, part, p != nil)
		if err != nil {
			return nil, err
		}
		if err := b.read(ctx, c.S3, client, rows); err != nil {
			return nil, err
		}
		for _, r := range rows {
			b.setState(r)
			selected.add(r, s)
		}
		read(n*manifest.PartRows + len(part.Items))
	}
	return selected, nil
}

func (sel *Selected) add(r *Row, s Selection) {
	rec := r.Record
	if !r.Own() || !rec.State.Final() || rec.State == storage.StateValid || rec.Erased != nil {
		return
	}
	switch {
	case s.matches(rec) && rec.InputGone():
		sel.InputGone++
	case s.matches(rec):
		sel.Rows = append(sel.Rows, Rerun{Row: r.Item.Row, Run: rec.Run + 1, Was: r.State, Review: rec.NeedsReview(), Code: r.counted()})
		if rec.MayHavePaid() {
			sel.PaidBefore++
		}
	}
	if rec.Code != "" {
		sel.Codes[rec.Code]++
	} else {
		sel.Codes[string(rec.State)]++
	}
}

// candidates returns the rows of a part, without those that the progress shows as valid or in conflict.
func (c *Control) candidates(ctx context.Context, b *Batch, part *manifest.Part, progress bool) ([]*Row, error) {
	rows := rowsOf(part.Items, b.ID)
	if !progress {
		return rows, nil
	}
	states, err := c.Progress.states(ctx, b.ID, 1+part.Number*manifest.PartRows, part.Number*manifest.PartRows+len(rows))
	if err != nil {
		return nil, err
	}
	var candidates []*Row
	for i, r := range rows {
		switch states[i] {
		case RowValid, RowDoneValid, RowConflict:
		default:
			candidates = append(candidates, r)
		}
	}
	return candidates, nil
}
