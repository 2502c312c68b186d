package gate

import (
	"context"
	"sync"
	"testing"
	"time"
)

// A deployment ends most processes while their calls wait. Their estimates must not keep the slots from the others.
func TestAFleetThatShrinksKeepsItsBudget(t *testing.T) {
	t.Parallel()
	for _, lane := range []string{Live, Bulk} {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			inFakeTime(t, func(t *testing.T, f *fleet) {
				ctx, kill := context.WithCancel(t.Context())
				var dead, alive sync.WaitGroup
				var before, after vendor
				for range 60 {
					backlog(ctx, &dead, f.process(hundred), "aadhaar", lane, 2, &before, 0)
				}
				time.Sleep(10 * time.Second)
				kill()
				dead.Wait()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				backlog(ctx, &alive, f.process(hundred), "aadhaar", Bulk, 8, &after, 0)
				time.Sleep(30 * time.Second)
				if n := after.count(); n < 49-9 { // 30 s are 49 slots, of which 5 s are lost
					t.Errorf("%d calls in the first 30 s", n)
				}
				cancel()
				alive.Wait()
			})
		})
	}
}
