package blocked

import (
	"time"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/tasks"
)

// BatchStatus is the status of a batch with what the fleet tells about its end.
type BatchStatus struct {
	*batch.Status
	Blocked *Reason `json:"blocked,omitempty"`
	// PerMinute is how many rows ended in a minute lately; the rate of the fleet while that is not known.
	PerMinute float64 `json:"per_minute"`
	// ETASeconds is the time until the batch ends at this pace. It is absent while the batch is blocked.
	ETASeconds int64 `json:"eta_seconds,omitempty"`
}

// StatusOf adds to the status of a batch what blocks it and when it ends.
func (f *Fleet) StatusOf(s *batch.Status) (*BatchStatus, error) {
	st := &BatchStatus{Status: s, PerMinute: s.EndPerMinute}
	left := s.Rows - s.Ended
	if st.PerMinute == 0 { // rows of other batches that are queued already come first
		st.PerMinute = f.PerMinute(s.Kind)
		left += max(0, int(f.Queues[tasks.Queue(s.Kind, tasks.Bulk)].Waiting())-s.Open)
	}
	var err error
	if st.Blocked, err = f.Batch(s); err != nil {
		return nil, err
	}
	if st.Moving() {
		st.ETASeconds = max(1, int64(batch.TimeFor(left, st.PerMinute)/time.Second))
	}
	return st, nil
}

// Moving reports whether rows are being processed, so that the time left can be estimated.
func (st *BatchStatus) Moving() bool {
	return st.State == batch.Running && st.Blocked == nil && !st.Rebuilding && st.Reason == "" && st.Ended < st.Rows
}
