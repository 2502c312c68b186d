package faults

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/dev/simulator"
)

// killing is a loop of random SIGKILLs.
type killing struct {
	jobs, kills int
	settings    []setting
}

// few hands in hand keep a dead worker from taking half of the jobs with it for two minutes.
var few = with("KYCQ_AADHAAR_CONCURRENCY=2", "KYCQ_PASSPORT_CONCURRENCY=2", "KYCQ_LIVE_CONCURRENCY=1")

// TestRandomKills kills one of two workers at a random moment, again and again, while they work.
func TestRandomKills(t *testing.T) {
	t.Parallel()
	for _, mode := range idModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			playKills(t, killing{jobs: 200, kills: 15, settings: []setting{takesIDs(mode), slowly(100 * time.Millisecond), few, atRate("5/s")}})
		})
	}
}

// TestSoakRandomKills is the long one: 200 kills over 2,000 jobs, in both id modes, and once with lost answers bought
// again.
func TestSoakRandomKills(t *testing.T) {
	t.Parallel()
	soak(t)
	common := []setting{slowly(100 * time.Millisecond), few, atRate("4/s")}
	for name, more := range map[string][]setting{
		"success": {takesIDs(simulator.TakeOnSuccess)},
		"arrival": {takesIDs(simulator.TakeOnArrival)},
		"reissue": {takesIDs(simulator.TakeOnSuccess), with("KYCQ_ON_LOST_ANSWER=reissue", "KYCQ_REISSUES_PER_DAY=100000")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			playKills(t, killing{jobs: 2000, kills: 200, settings: append(more, common...)})
		})
	}
}

// atRate is the fleet's rate for both kinds.
func atRate(rate string) setting { return with("KYCQ_AADHAAR_RATE="+rate, "KYCQ_PASSPORT_RATE="+rate) }

func playKills(t *testing.T, k killing) {
	t.Helper()
	s := newStack(t, append(k.settings, on(startRedis(t), nil))...)
	moments := rand.New(rand.NewPCG(seed(t), 0))
	s.enqueue(k.jobs)
	workers := []*process{s.work(), s.work()}
	var lastDeath time.Time
	var left []job
	struck := 0
	for range k.kills {
		tick(t, 500*time.Millisecond+time.Duration(moments.Int64N(int64(1500*time.Millisecond))))
		victim := moments.IntN(len(workers))
		if !workers[victim].running() {
			t.Fatalf("a worker ended by itself:\n%s", workers[victim].output())
		}
		workers[victim].kill()
		lastDeath, left = workers[victim].died, s.open()
		if len(left) > 0 {
			struck++
		}
		workers[victim] = s.work()
	}
	if struck < k.kills*9/10 {
		t.Errorf("only %d of %d kills struck while there was work: there is too little of it", struck, k.kills)
	}
	s.judge(outAt(lastDeath))
	s.longestReturn(lastDeath, left) // for the log: it holds the wait for the rate, too
}

// seed is KYCQ_FAULTS_SEED, or a new one; it is logged so that the same moments can be played again.
func seed(t testing.TB) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(os.Getenv("KYCQ_FAULTS_SEED"), 10, 64)
	if err != nil {
		n = rand.Uint64()
	}
	t.Logf("KYCQ_FAULTS_SEED=%d", n)
	return n
}
