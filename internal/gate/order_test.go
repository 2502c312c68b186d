package gate

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kycq/kycq/internal/rate"
)

func TestLiveCallTakesTheNextSlotWhileBulkIsSaturated(t *testing.T) {
	t.Parallel()
	for _, r := range []rate.Rate{{Calls: 100, Per: time.Minute}, {Calls: 300, Per: 6 * time.Second}} {
		for _, where := range []string{"in a busy process", "in an idle process"} {
			t.Run(r.String()+" "+where, func(t *testing.T) {
				t.Parallel()
				inFakeTime(t, func(t *testing.T, f *fleet) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					var wg sync.WaitGroup
					rates := map[string]rate.Rate{"aadhaar": r}
					var v vendor
					var busy *Gate
					for range 7 {
						busy = f.process(rates)
						backlog(ctx, &wg, busy, "aadhaar", Bulk, 8, &v, 100*time.Millisecond)
					}
					live := f.process(rates)
					if where == "in a busy process" {
						live = busy
					}
					time.Sleep(r.Per / 2)
					var waits []time.Duration
					for i := range 40 {
						time.Sleep(r.Interval()*7 + time.Duration(i)*r.Interval()/40) // at every phase
						arrived := time.Now()
						report(t, live, acquire(t, live, Live, fmt.Sprint(i)), Outcome{Kind: Answered})
						waits = append(waits, time.Since(arrived))
					}
					slices.Sort(waits)
					worst, median := waits[len(waits)-1], waits[len(waits)/2]
					if bound := r.Interval() + 50*time.Millisecond; r.Per == time.Minute && median > bound {
						t.Errorf("half of the live calls waited %s, allowed are %s", median, bound)
					}
					if bound := max(3*r.Interval(), 250*time.Millisecond); worst > bound {
						t.Errorf("a live call waited %s, allowed are %s", worst, bound)
					}
					cancel()
					wg.Wait()
				})
			})
		}
	}
}

func TestBurstOfLiveCallsPassesBeforeBulkOfOtherProcesses(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var wg sync.WaitGroup
		var bulk vendor
		for range 4 {
			backlog(ctx, &wg, f.process(hundred), "aadhaar", Bulk, 8, &bulk, time.Second)
		}
		live := f.process(hundred)
		time.Sleep(20 * time.Second)
		arrived := time.Now()
		var crowd sync.WaitGroup
		for i := range 10 {
			crowd.Go(func() {
				report(t, live, acquire(t, live, Live, fmt.Sprint(i)), Outcome{Kind: Answered})
			})
		}
		crowd.Wait()
		between := bulk.between(arrived, time.Now())
		cancel()
		wg.Wait()
		if between > 3 { // those whose slots were reserved when the crowd came
			t.Errorf("%d bulk calls left before the last of 10 live calls", between)
		}
	})
}

func TestCallersOfALaneLeaveInTheOrderInWhichTheyCame(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred)
		if got, want := departures(t, g, []string{"a", "b", "c", "d"}, nil), []string{"a", "b", "c", "d"}; !slices.Equal(got, want) {
			t.Errorf("left as %v, came as %v", got, want)
		}
	})
}

func TestJobTurnedBackByA429KeepsItsPlace(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred)
		got := departures(t, g, []string{"a", "b", "c", "d", "e"}, []string{"b", "a"})
		if want := []string{"a", "b", "a", "b", "c", "d", "e"}; !slices.Equal(got, want) {
			t.Errorf("left as %v, want %v", got, want)
		}
	})
}

// departures lets jobs wait for slots and returns the order in which they left. Those in limited meet a 429 the first
// time, 0.7 s after they left, so that two are out at once.
func departures(t *testing.T, g *Gate, jobs, limited []string) []string {
	t.Helper()
	var mu sync.Mutex
	var left []string
	var wg sync.WaitGroup
	for _, job := range jobs {
		wg.Go(func() {
			again := slices.Contains(limited, job)
			for {
				p := acquire(t, g, Bulk, job)
				mu.Lock()
				left = append(left, job)
				mu.Unlock()
				o := Outcome{Kind: Answered}
				if again {
					time.Sleep(700 * time.Millisecond)
					o = Outcome{Kind: Limited, RetryAfter: time.Second}
				}
				report(t, g, p, o)
				if !again {
					return
				}
				again = false
			}
		})
		synctest.Wait()
	}
	wg.Wait()
	return left
}
