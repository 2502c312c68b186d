package batch

import (
	"testing"

	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/storage"
)

func TestTheStatusOfAnEndedBatchCountsReviews(t *testing.T) {
	t.Parallel()
	b := &Batch{ID: "cards-00000000", Rows: 3, Runs: []Run{{}}}
	sum := newSummary(b)
	for i, review := range []string{"", "finder_patterns", "nothing_masked"} {
		sum.add(&Row{Item: &manifest.Item{Row: i + 1}, Record: &storage.Record{Review: review}, State: RowValid})
	}
	sum.add(&Row{Item: &manifest.Item{Row: 4}, Record: &storage.Record{Review: "of another input"}, State: RowConflict})
	s := &Status{Outcomes: map[string]int{}}
	s.setProgress(b, sum.progress())
	if s.Reviews != 2 {
		t.Errorf("%d reviews, want 2", s.Reviews)
	}
}
