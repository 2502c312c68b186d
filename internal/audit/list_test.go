package audit_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/audit"
)

func TestEventsAreListedByTimeOverAllWriters(t *testing.T) {
	t.Parallel()
	m := newMemory()
	start := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	now := start
	clock := func() time.Time { now = now.Add(time.Minute); return now }
	anil, zoya := newTrail(t, m, "anil", clock), newTrail(t, m, "zoya", clock)
	for range 300 { // more than are read at once
		appendN(t, anil, 1)
		appendN(t, zoya, 1)
	}
	for since, want := range map[time.Duration]int{0: 600, 500 * time.Minute: 101, 600 * time.Minute: 1, 601 * time.Minute: 0} {
		events, unreadable, err := audit.List(t.Context(), m, start.Add(since))
		if err != nil || unreadable != 0 || len(events) != want {
			t.Fatalf("since %s: %d events, %d unreadable, %v; want %d", since, len(events), unreadable, err, want)
		}
		for i, e := range events {
			if at := now.Add(-time.Duration(want-1-i) * time.Minute); !e.At.Equal(at) {
				t.Fatalf("since %s: event %d is of %s at %s, want one at %s", since, i, e.User, e.At, at)
			}
		}
	}
	for seq := 45; seq <= 300; seq++ { // all that are read first
		m.set(key(seq), "damaged")
	}
	events, unreadable, err := audit.List(t.Context(), m, start.Add(time.Minute))
	if got := fmt.Sprint(len(events), unreadable, err); got != "344 256 <nil>" {
		t.Errorf("with damaged events: %s", got)
	}
}
