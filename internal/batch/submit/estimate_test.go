package submit

import (
	"strings"
	"testing"
	"time"
)

func TestAnEstimateCountsCallsToMake(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		plan  Plan
		ahead int
		known *Known
		price float64
		calls int
		text  string
	}{
		"new rows":         {Plan{Rows: 3}, 0, nil, 2.5, 3, "3 rows: 3 calls to make\ntime: about 2s at 100.0 calls a minute\ncost: 7.50 at the given price\n"},
		"behind others":    {Plan{Rows: 100}, 200, nil, 0, 100, "100 rows: 100 calls to make\ntime: about 3m0s at 100.0 calls a minute, rows of other batches included: 200\n"},
		"all done already": {Plan{Rows: 20000}, 0, &Known{DoneBy: map[string]int{"valid": 19000, "invalid": 1000}}, 2, 0, "20000 rows: 20000 done already (1000 invalid, 19000 valid), 0 calls to make\ncost: 0.00 at the given price\n"},
		"some in progress": {Plan{Rows: 10}, 0, &Known{DoneBy: map[string]int{"valid": 3}, InProgress: 1}, 0, 6, "10 rows: 3 done already (3 valid), 1 in progress, 6 calls to make\ntime: about 4s at 100.0 calls a minute\n"},
	} {
		e := c.plan.Estimate(100, c.ahead, c.known, c.price)
		if e.Calls != c.calls || e.String() != c.text {
			t.Errorf("%s: %d calls\n%s", name, e.Calls, e)
		}
	}
}

func TestABatchWhoseImagesWouldExpireIsRefused(t *testing.T) {
	t.Parallel()
	const lifecycle = 30 * 24 * time.Hour
	p := Plan{Rows: 100 * 60 * 24 * 30, Uploads: true}
	if err := p.CheckInbox(p.Estimate(100, 0, nil, 0), lifecycle); err != nil {
		t.Errorf("30 days of calls: %v", err)
	}
	err := p.CheckInbox(p.Estimate(100, 100, nil, 0), lifecycle)
	if err == nil || !strings.Contains(err.Error(), "30 d 0 h") {
		t.Errorf("30 days of calls, after 100 rows: %v", err)
	}
	p.Uploads = false
	if err := p.CheckInbox(p.Estimate(100, 100, nil, 0), lifecycle); err != nil {
		t.Errorf("without uploads: %v", err)
	}
}
