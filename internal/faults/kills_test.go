package faults

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/dev/simulator"
)

// killPlan is a series of SIGKILLs at random moments.
type killPlan struct {
	jobs, kills int
	options     []option
}

// lowConcurrency limits how many jobs a killed worker holds: its tasks are delivered again only after a minute.
var lowConcurrency = withEnv("KYCQ_AADHAAR_CONCURRENCY=2", "KYCQ_PASSPORT_CONCURRENCY=2", "KYCQ_LIVE_CONCURRENCY=1")

// TestRandomKills kills one of two workers at a random moment, again and again, while they work.
func TestRandomKills(t *testing.T) {
	t.Parallel()
	for _, mode := range idModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			runKills(t, killPlan{jobs: 200, kills: 15, options: []option{takesIDs(mode), withLatency(100 * time.Millisecond), lowConcurrency, atRate("5/s")}})
		})
	}
}

// TestSoakRandomKills makes 200 kills over 2,000 jobs, in both id modes and once with the policy reissue.
func TestSoakRandomKills(t *testing.T) {
	t.Parallel()
	soak(t)
	common := []option{withLatency(100 * time.Millisecond), lowConcurrency, atRate("4/s")}
	for name, more := range map[string][]option{
		"success": {takesIDs(simulator.TakeOnSuccess)},
		"arrival": {takesIDs(simulator.TakeOnArrival)},
		"reissue": {takesIDs(simulator.TakeOnSuccess), withEnv("KYCQ_ON_LOST_ANSWER=reissue", "KYCQ_REISSUES_PER_DAY=100000")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runKills(t, killPlan{jobs: 2000, kills: 200, options: append(more, common...)})
		})
	}
}

// atRate sets the rate of both kinds.
func atRate(rate string) option {
	return withEnv("KYCQ_AADHAAR_RATE="+rate, "KYCQ_PASSPORT_RATE="+rate)
}

func runKills(t *testing.T, k killPlan) {
	t.Helper()
	s := newStack(t, append(k.options, onRedis(startRedis(t), nil))...)
	s.subscribe()
	moments := rand.New(rand.NewPCG(seed(t), 0))
	s.enqueue(k.jobs)
	workers := []*process{s.startWorker(), s.startWorker()}
	var lastDeath time.Time
	var left []job
	effective := 0
	for range k.kills {
		pause(t, 500*time.Millisecond+time.Duration(moments.Int64N(int64(1500*time.Millisecond))))
		victim := moments.IntN(len(workers))
		if !workers[victim].running() {
			t.Fatalf("a worker exited unexpectedly:\n%s", workers[victim].output())
		}
		if len(s.unfinished()) < k.jobs/10 {
			s.enqueue(k.jobs / 10)
		}
		workers[victim].kill()
		lastDeath, left = workers[victim].endedAt, s.unfinished()
		if len(left) > 0 {
			effective++
		}
		workers[victim] = s.startWorker()
	}
	if effective < k.kills*9/10 {
		t.Errorf("only %d of %d kills effective while there was work: there is too little of it", effective, k.kills)
	}
	s.verify(stoppedWorker)
	s.longestRedelivery(lastDeath, left) // logged only: it includes the wait for the rate
}

// seed is KYCQ_FAULTS_SEED, or a random number. It is logged, so that the same moments can be chosen again.
func seed(t testing.TB) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(os.Getenv("KYCQ_FAULTS_SEED"), 10, 64)
	if err != nil {
		n = rand.Uint64()
	}
	t.Logf("KYCQ_FAULTS_SEED=%d", n)
	return n
}
