package gate

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/rate"
)

func TestStatusShowsPaceAndWaitingCalls(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var v vendor
		for range 2 {
			g := f.process(twoKinds)
			backlog(ctx, &wg, g, "aadhaar", Bulk, 10, &v, 100*time.Millisecond)
		}
		time.Sleep(2*time.Minute + 7*time.Second)
		watcher := f.process(twoKinds)
		all, holds, err := watcher.Status(ctx)
		if err != nil || len(holds) > 0 || len(all) != 2 {
			t.Fatalf("status: %+v, %+v, %v", all, holds, err)
		}
		st := all[0]
		if st.Kind != "aadhaar" || st.Configured != (rate.Rate{Calls: 100, Per: time.Minute}) || st.Breaker != BreakerClosed {
			t.Errorf("status: %+v", st)
		}
		if now := time.Now(); st.LastMinute < v.between(now.Add(-time.Minute), now)-3 || st.LastMinute > 101 {
			t.Errorf("%d calls in the last minute", st.LastMinute)
		}
		if st.WaitingBulk < 16 || st.WaitingBulk > 20 || st.WaitingLive != 0 {
			t.Errorf("waiting: %d bulk and %d live", st.WaitingBulk, st.WaitingLive)
		}
		if st.PerMinute < 98 || st.PerMinute > 100 {
			t.Errorf("pace %.1f a minute", st.PerMinute)
		}
		if idle := all[1]; idle.Kind != "passport" || idle.LastMinute != 0 || idle.WaitingBulk != 0 {
			t.Errorf("idle kind: %+v", idle)
		}
		cancel()
		wg.Wait()
		time.Sleep(2 * time.Minute)
		if all, _, _ = watcher.Status(t.Context()); all[0].LastMinute != 0 || all[0].WaitingBulk != 0 {
			t.Errorf("two minutes after the last call: %+v", all[0])
		}
	})
}

func TestStatusShowsSilenceBreakerAndHold(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred)
		report(t, g, acquire(t, g, Bulk, "a"), Outcome{Kind: Limited, RetryAfter: 20 * time.Second})
		all, _, err := g.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if st := all[0]; st.Limited != 1 || st.StoppedFor != 20*time.Second || time.Since(st.LastLimited) > time.Second {
			t.Errorf("after a 429: %+v", st)
		}
		for i := range 5 {
			fail(t, g, strconv.Itoa(i))
		}
		if all, _, _ = g.Status(t.Context()); all[0].Breaker != BreakerOpen || all[0].BreakerFor != 30*time.Second || all[0].BreakerFails != 5 {
			t.Errorf("after five failures: %+v", all[0])
		}
		time.Sleep(30 * time.Second)
		if all, _, _ = g.Status(t.Context()); all[0].Breaker != BreakerProbing {
			t.Errorf("half a minute later: %+v", all[0])
		}
		raise(t, g, true)
		if _, holds, _ := g.Status(t.Context()); len(holds) != 1 || holds[0].Code != balanceOut.Code {
			t.Errorf("holds: %+v", holds)
		}
	})
}

func TestCountsOfDeadProcessesAreDeleted(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		f.mini.HSet(kindKey("aadhaar"), "w:dead", "3:9:"+strconv.FormatInt(time.Now().UnixMicro(), 10))
		time.Sleep(2 * time.Minute)
		g := f.process(hundred)
		if all, _, _ := g.Status(t.Context()); all[0].WaitingBulk != 0 {
			t.Errorf("calls of a dead process count: %+v", all[0])
		}
		report(t, g, acquire(t, g, Bulk, "a"), Outcome{Kind: Answered})
		if left := f.mini.HGet(kindKey("aadhaar"), "w:dead"); left != "" {
			t.Errorf("left behind: %q", left)
		}
	})
}
