package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// message is the body of a webhook.
type message struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      any       `json:"data"`
}

var (
	// errNotYet means that the write that makes the event true has not been seen.
	errNotYet = errors.New("the event is not in S3 yet")
	// errVoid means that the event never became true, or that what it tells of is gone.
	errVoid = errors.New("the event did not happen")
)

// body makes the body of an event. Errors: errNotYet, errVoid, and those of S3.
func (d *Deliverer) body(ctx context.Context, endpoint string, e storage.Event) ([]byte, error) {
	var data any
	var err error
	switch e.Name {
	case storage.EventJobFinished, storage.EventReviewNeeded:
		data, err = d.jobData(ctx, e)
	case storage.EventBatchFinished:
		data, err = d.batchData(ctx, e)
	default: // of the fleet
		var stored []byte
		stored, err = d.Store.OwedData(ctx, endpoint, e)
		data = json.RawMessage(stored)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(message{Type: e.Name, Timestamp: e.At, Data: data})
}

// A write that ends a run is expected for as long as a process may be paused before it. If the run has ended later than the
// event says, it was overtaken, and only wrong clocks make that look so.
const (
	writePending   = time.Hour
	overtakenAfter = time.Minute
)

// judge compares the run and the end of an event with what S3 has. A late answer or a review ends a run again: its event is
// seen beside the earlier end, before the write.
func judge(e storage.Event, run int, ended time.Time) error {
	switch {
	case run < e.Run, run == e.Run && ended.IsZero():
		return errNotYet
	case run == e.Run && !ended.Equal(e.At): // the run ended at another time, which has an event of its own
		if e.Age < overtakenAfter || e.At.After(ended) && e.Age < writePending {
			return errNotYet
		}
		return errVoid
	}
	return nil
}

func (d *Deliverer) jobData(ctx context.Context, e storage.Event) (any, error) {
	rec, _, err := d.Store.Record(ctx, tasks.Kind(e.Kind), e.ID)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, errNotYet
	case err != nil:
		return nil, err
	}
	ended := rec.CompletedAt
	if !rec.State.Final() {
		ended = time.Time{}
	}
	if err := judge(e, rec.Run, ended); err != nil {
		return nil, err
	}
	if rec.Run > e.Run { // it runs again: tell of the earlier run
		if rec = rec.AsOf(e.Run, e.At); rec == nil {
			return nil, errVoid
		}
	}
	if e.Name == storage.EventReviewNeeded && !rec.NeedsReview() {
		return nil, errVoid // decided meanwhile
	}
	return d.Job(rec), nil
}

// batchData are the data of batch.finished.
type batchData struct {
	Batch    string         `json:"batch"`
	Kind     tasks.Kind     `json:"kind"`
	State    batch.State    `json:"state"`
	Run      int            `json:"run"`
	Rows     int            `json:"rows"`
	Rejected int            `json:"rejected"`
	Calls    int            `json:"calls"`
	Outcomes map[string]int `json:"outcomes"`
	Codes    map[string]int `json:"codes"`
	Reviews  int            `json:"reviews"`
	Report   string         `json:"report"` // key in the records bucket

	CreatedAt time.Time `json:"created_at"`
	EndedAt   time.Time `json:"ended_at"`
}

func (d *Deliverer) batchData(ctx context.Context, e storage.Event) (any, error) {
	batches := batch.NewStore(d.Store)
	b, err := batches.Load(ctx, e.ID)
	switch {
	case errors.Is(err, batch.ErrNotFound):
		return nil, errVoid
	case err != nil:
		return nil, err
	}
	if err := judge(e, len(b.Runs), b.EndedAt); err != nil {
		return nil, err
	}
	sum, err := batches.Summary(ctx, e.ID) // of the last end: the counts are of all runs
	if errors.Is(err, batch.ErrNotFound) {
		return nil, errVoid
	} else if err != nil {
		return nil, err
	}
	state := batch.Ended
	if sum.State == batch.Cancelled {
		state = batch.Cancelled
	}
	return batchData{
		Batch: b.ID, Kind: b.Kind, State: state, Run: e.Run, Rows: b.Rows, Rejected: b.Rejected, Calls: sum.Calls, Outcomes: sum.Outcomes,
		Codes: sum.Codes, Reviews: sum.Reviews, Report: batch.ReportKey(b.ID), CreatedAt: b.CreatedAt, EndedAt: e.At,
	}, nil
}
