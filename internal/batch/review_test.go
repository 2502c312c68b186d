package batch

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// review changes a record as its worker or a person does, and reports the row as the job's tail does.
func (h *setup) review(id, review string, state storage.State) *storage.Record {
	h.t.Helper()
	rec, version, err := h.store.Record(h.t.Context(), tasks.Passport, id)
	if err != nil {
		h.t.Fatal(err)
	}
	rec.Review, rec.State = review, state
	if _, err := h.store.SwapRecord(h.t.Context(), rec, version); err != nil {
		h.t.Fatal(err)
	}
	for range 2 { // tails are repeated
		if err := h.control.Progress.RowFinished(h.t.Context(), rec); err != nil {
			h.t.Fatal(err)
		}
	}
	return rec
}

func (h *setup) wantReviews(b *Batch, want int) {
	h.t.Helper()
	if s := h.status(b.ID); s.Reviews != want {
		h.t.Errorf("%s: %d reviews, want %d", s.State, s.Reviews, want)
	}
}

func TestReviewsAreCountedWhileABatchRuns(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	b := h.batch("running", 30)
	h.feed(b.ID)
	h.work(12)
	rows := slices.DeleteFunc(h.walk(b.ID), func(r *Row) bool { return r.Record == nil })
	h.wantReviews(b, 0)
	h.review(rows[0].Item.ID, "finder_patterns", storage.StateValid)
	h.review(rows[1].Item.ID, "visible_qr", storage.StateFailed)
	h.wantReviews(b, 2)
	h.review(rows[1].Item.ID, storage.ReviewApproved+"officer: fine", storage.StateValid)
	h.wantReviews(b, 1)
	h.wipe()
	h.feed(b.ID)
	h.feed(b.ID)
	h.wantReviews(b, 1) // from the records
	h.finish(b.ID)
	h.wantReviews(b, 1)
}

func TestADecisionAfterTheEndCorrectsCountsAndReport(t *testing.T) {
	t.Parallel()
	for _, wiped := range []bool{false, true} {
		t.Run(fmt.Sprintf("progress expired %v", wiped), func(t *testing.T) {
			t.Parallel()
			h := newSetup(t)
			b := h.batch("decided", 8)
			h.feed(b.ID)
			h.work(8)
			id := h.walk(b.ID)[2].Item.ID
			h.review(id, "visible_qr", storage.StateFailed)
			before := h.finish(b.ID)
			if before.Reviews != 1 || before.Outcomes["failed"] != 1 {
				t.Fatalf("before: %+v", before)
			}
			if wiped {
				h.wipe()
			}
			rec := h.review(id, storage.ReviewApproved+"officer: fine", storage.StateValid)
			for range 2 { // the command may be repeated
				if err := h.control.Decided(t.Context(), rec); err != nil {
					t.Fatal(err)
				}
			}
			after := h.finish(b.ID)
			if after.State != Ended || after.Reason != "" || after.Reviews != 0 || after.Outcomes["failed"] != 0 || after.Outcomes["valid"] != 8 ||
				after.Runs != before.Runs || after.Calls != before.Calls || h.vendor.total != 8 {
				t.Errorf("after: %+v, %d calls", after, h.vendor.total)
			}
			if report := h.object(ReportKey(b.ID)); !strings.Contains(report, "approved by officer") || strings.Contains(report, "visible_qr") {
				t.Errorf("report:\n%s", report)
			}
			if summary := h.object(summaryKey(b.ID)); strings.Contains(summary, "reviews") || !strings.Contains(summary, `"valid": 8`) {
				t.Errorf("summary:\n%s", summary)
			}
		})
	}
}

// The image of an erased job is gone: its batch counts no review, also in the summary.
func TestAnErasedReviewIsNotCounted(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	b := h.batch("erased", 4)
	h.feed(b.ID)
	h.work(4)
	id := h.walk(b.ID)[2].Item.ID
	rec := h.review(id, "visible_qr", storage.StateFailed)
	if before := h.finish(b.ID); before.Reviews != 1 {
		t.Fatalf("before: %+v", before)
	}
	_, version, err := h.store.Record(t.Context(), rec.Kind, id)
	if err != nil {
		t.Fatal(err)
	}
	rec.Erased = &storage.Erasure{By: "asha", Reason: "a request"}
	if _, err := h.store.SwapRecord(t.Context(), rec, version); err != nil {
		t.Fatal(err)
	}
	if err := h.control.Decided(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	if after := h.finish(b.ID); after.State != Ended || after.Reviews != 0 || after.Outcomes["failed"] != 1 {
		t.Errorf("after: %+v", after)
	}
	if summary := h.object(summaryKey(b.ID)); strings.Contains(summary, "reviews") {
		t.Errorf("summary:\n%s", summary)
	}
}

// A retry opens a row that a person should look at: it is no longer counted, also if the progress was rebuilt from the summary.
func TestARetryOpensAReviewedRow(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	b := h.batch("retried", 6)
	h.feed(b.ID)
	h.work(6)
	rows := h.walk(b.ID)
	h.review(rows[0].Item.ID, "visible_qr", storage.StateFailed)
	h.review(rows[1].Item.ID, "finder_patterns", storage.StateValid)
	h.finish(b.ID)
	h.wipe()
	list := []Rerun{{Row: 1, Run: 2, Was: RowFailed, Review: true}}
	if _, err := h.control.Retry(t.Context(), b.ID, 0, list, "failed"); err != nil {
		t.Fatal(err)
	}
	h.feed(b.ID)
	h.feed(b.ID) // the first creates the progress
	h.wantReviews(b, 1)
}
