package gate

import (
	"testing"
	"time"
)

func TestCallsLeaveEvenlyUnderTheLimit(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred)
		start := time.Now()
		for i := range 200 {
			p, err := g.Enter(t.Context(), Call{Kind: "aadhaar", Lane: Bulk, JobID: "a"})
			if err != nil {
				t.Fatal(err)
			}
			if err := g.Done(t.Context(), p, Outcome{Kind: Answered}); err != nil {
				t.Fatal(err)
			}
			if i < 5 {
				t.Log(time.Since(start))
			}
		}
		t.Log(time.Since(start))
	})
}
