package submit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Estimate is how long a plan takes and what it costs.
type Estimate struct {
	// Calls is the number of calls to make: each row one, except those whose verification_id has a record.
	Calls     int      `json:"calls"`
	PerMinute float64  `json:"per_minute"`
	Ahead     int      `json:"rows_of_other_batches"`
	Seconds   int64    `json:"seconds"`
	Cost      *float64 `json:"cost,omitempty"`
	// HaveRecord counts the rows whose verification_id has a record, DoneAlready those of them with a final one. Both are
	// nil if the records were not read.
	HaveRecord  *int `json:"have_record,omitempty"`
	DoneAlready *int `json:"done_already,omitempty"`

	rows int
}

// Estimate estimates the plan at a rate, after the rows ahead of other batches. known may be nil. price is that of a call,
// 0 if unknown.
func (p *Plan) Estimate(perMinute float64, ahead int, known *Known, price float64) *Estimate {
	e := &Estimate{Calls: p.Rows, PerMinute: perMinute, Ahead: ahead, rows: p.Rows}
	if known != nil {
		e.Calls -= known.Records
		e.HaveRecord, e.DoneAlready = &known.Records, &known.Done
	}
	e.Seconds = int64(batch.TimeFor(ahead+e.Calls, perMinute) / time.Second)
	if price > 0 {
		cost := float64(e.Calls) * price
		e.Cost = &cost
	}
	return e
}

// CheckInbox returns an error if uploaded images would be deleted by the inbox's lifecycle before they are called.
func (p *Plan) CheckInbox(e *Estimate, lifecycle time.Duration) error {
	if took := e.duration(); p.Uploads && took > lifecycle {
		return fmt.Errorf("%d rows, after %d rows of other batches, take %s at %.1f calls a minute, but the inbox keeps images for only %s: split the manifest, or have the rate raised",
			e.rows, e.Ahead, batch.DurationText(took), e.PerMinute, batch.DurationText(lifecycle))
	}
	return nil
}

func (e *Estimate) duration() time.Duration { return time.Duration(e.Seconds) * time.Second }

// String returns lines for people.
func (e *Estimate) String() string {
	var text strings.Builder
	counts := ""
	if e.DoneAlready != nil {
		counts = fmt.Sprintf(" %d done already,", *e.DoneAlready)
		if open := *e.HaveRecord - *e.DoneAlready; open > 0 {
			counts += fmt.Sprintf(" %d in progress,", open)
		}
	}
	_, _ = fmt.Fprintf(&text, "%d rows:%s %d calls to make\n", e.rows, counts, e.Calls)
	if e.Calls > 0 {
		_, _ = fmt.Fprintf(&text, "time: about %s at %.1f calls a minute", batch.DurationText(e.duration()), e.PerMinute)
		if e.Ahead > 0 {
			_, _ = fmt.Fprintf(&text, ", rows of other batches included: %d", e.Ahead)
		}
		_, _ = fmt.Fprintln(&text)
	}
	if e.Cost != nil {
		_, _ = fmt.Fprintf(&text, "cost: %.2f at the given price\n", *e.Cost)
	}
	return text.String()
}

// Known counts the accepted rows whose verification_id has a record, for which this batch makes no call.
type Known struct {
	Records int
	Done    int // with a final record
}

// Known lists the records of the kind, and reads those of accepted rows.
func (p *Plan) Known(ctx context.Context, store *storage.Store, kind tasks.Kind, progress Progress) (*Known, error) {
	progress.Begin("reading records", int64(p.Rows), "rows")
	var done atomic.Int64
	var known Known
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(readParallel)
	for id, err := range store.Records(ctx, kind) {
		if err != nil || gctx.Err() != nil {
			return nil, errors.Join(err, group.Wait())
		}
		if _, accepted := p.lines[hashID(id)]; !accepted {
			continue
		}
		known.Records++
		group.Go(func() error {
			rec, _, err := store.Record(gctx, kind, id)
			if err == nil && rec.State.Final() {
				done.Add(1)
			}
			progress.Add(1)
			return err
		})
	}
	err := group.Wait()
	known.Done = int(done.Load())
	return &known, err
}

// readParallel is how many records are read at once.
const readParallel = 32
