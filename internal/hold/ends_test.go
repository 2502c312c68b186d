package hold

import (
	"fmt"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/testenv"
)

func TestTheLatestEndsCountOnceEachUntilTheHoldIsResumed(t *testing.T) {
	t.Parallel()
	client := testenv.RedisClient(t)
	s, h := NewSet(client), Hold{Cause: MaskCheck, Kind: "aadhaar"}
	began := time.Now()
	count := func(n int, bad bool, wantBad, wantOf int) {
		t.Helper()
		gotBad, of, err := s.CountEnd(t.Context(), h, End{Job: fmt.Sprint(n), At: began.Add(time.Duration(n) * time.Second), Bad: bad}, 3)
		if err != nil || gotBad != wantBad || of != wantOf {
			t.Fatalf("end %d: %d bad of %d, %v; want %d of %d", n, gotBad, of, err, wantBad, wantOf)
		}
	}
	count(1, true, 1, 1)
	count(1, true, 1, 1) // the tail of a job is repeated after a crash
	count(2, false, 1, 2)
	count(3, true, 2, 3)
	count(4, false, 1, 3)
	count(1, true, 1, 3) // repeated after it has dropped out

	if _, err := s.RaiseHold(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	count(5, true, 2, 3) // a hold does not end the count
	if err := s.ResumeHolds(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	count(6, true, 1, 1)
}
