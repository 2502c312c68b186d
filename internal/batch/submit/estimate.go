package submit

import (
	"fmt"
	"strings"
	"time"

	"github.com/kycq/kycq/internal/batch"
)

// Estimate is how long a plan takes and what it costs.
type Estimate struct {
	// Calls is the number of calls to make: each row one, except those that are known.
	Calls     int      `json:"calls"`
	PerMinute float64  `json:"per_minute"`
	Ahead     int      `json:"rows_of_other_batches"`
	Seconds   int64    `json:"seconds"`
	Cost      *float64 `json:"cost,omitempty"`
	// HaveRecord counts the rows whose verification_id has a record, DoneAlready those of them that are done. Both are nil if the
	// records were not read.
	HaveRecord  *int `json:"have_record,omitempty"`
	DoneAlready *int `json:"done_already,omitempty"`
	*Known

	rows, derived int
}

// Estimate estimates the plan at a rate, after the rows ahead of other batches. known may be nil. price is that of a call,
// 0 if unknown.
func (p *Plan) Estimate(perMinute float64, ahead int, known *Known, price float64) *Estimate {
	e := &Estimate{Calls: p.Rows, PerMinute: perMinute, Ahead: ahead, rows: p.Rows, derived: p.Derived, Known: known}
	if known != nil {
		e.Calls -= known.rows()
		done := known.done()
		e.HaveRecord, e.DoneAlready = &known.records, &done
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

// advice says what to do about rows that are not called.
func (e *Estimate) advice() string {
	var text strings.Builder
	if e.DifferentInput > 0 {
		text.WriteString("different input: these verification_ids belong to jobs with another input, so the rows will fail without a call; give them new ids\n")
	}
	if e.derived > 0 && e.rows > e.Calls {
		text.WriteString("to call rows without a verification_id again, for a new check or a corrected name, add --ids-for LABEL\n")
	}
	return text.String()
}

func (e *Estimate) duration() time.Duration { return time.Duration(e.Seconds) * time.Second }

// String returns lines for people.
func (e *Estimate) String() string {
	var text strings.Builder
	counts := ""
	if e.Known != nil {
		counts = e.Known.String()
	}
	_, _ = fmt.Fprintf(&text, "%d rows:%s %d calls to make\n", e.rows, counts, e.Calls)
	if e.Known != nil {
		text.WriteString(e.advice())
	}
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
