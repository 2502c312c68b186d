package worker

import (
	"flag"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

var (
	modelRuns = flag.Int("model.sequences", modelDefault, "how many random sequences the model test plays")
	modelSeed = flag.Uint64("model.seed", 1, "the seed of the model test; 0 takes the time")
)

// TestModelNeverLosesNorPaysTwice plays random histories of one job: deliveries, duplicates of them at the same time,
// workers that die at any step, S3 and Redis faults with and without effect, lost requests and replies, 429 and 5xx, in
// both ways in which the vendor may take ids. After the faults end, every history must have reached one final record, with
// at most one charge and one for each reissue in the record.
func TestModelNeverLosesNorPaysTwice(t *testing.T) {
	t.Parallel()
	seed := *modelSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	sequences := *modelRuns
	if testing.Short() {
		sequences /= 10
	}
	outcomes := map[storage.State]int{}
	for i := range sequences {
		synctest.Test(t, func(t *testing.T) { outcomes[play(t, rand.New(rand.NewPCG(seed, uint64(i))))]++ })
		if t.Failed() {
			t.Fatalf("sequence %d of seed %d", i, seed)
		}
	}
	t.Logf("outcomes: %v", outcomes)
	if outcomes[storage.StateValid] < sequences/2 {
		t.Errorf("hardly any history ends valid, so the model tests little: %v", outcomes)
	}
}

func play(t *testing.T, r *rand.Rand) storage.State {
	w := newWorld(&chaos{rand: r, on: true}, testKeyset)
	w.vendor.onArrival = r.IntN(2) == 0
	policy := Policy{ReissueLostAnswers: r.IntN(2) == 0, ReissuesPerDay: 100}
	kind := tasks.Kinds()[r.IntN(2)]
	if kind == tasks.Aadhaar && r.IntN(8) == 0 {
		w.vendor.fetched = []error{&cashfree.LinkError{Gone: true}}
	}
	job := w.payload(kind, "A")

	// Up to three deliveries at once, each in a worker of its own, for as long as there are faults.
	var wg sync.WaitGroup
	for range 2 + r.IntN(2) {
		wg.Go(func() {
			for range 6 {
				deliver(t, w, policy, job)
				time.Sleep(time.Duration(w.chaos.pick(60)) * time.Second)
			}
		})
	}
	wg.Wait()
	w.chaos.stop()
	for range 40 {
		if deliver(t, w, policy, job) == Final {
			break
		}
		time.Sleep(time.Minute)
	}
	return judge(t, w, kind)
}

// deliver hands the job to a new worker; a worker that dies leaves nothing behind but what it has written.
func deliver(t *testing.T, w *world, policy Policy, job tasks.Payload) Decision {
	p, err := NewProcessor(w.parts, policy)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer p.Drain()
	return processOrDie(t.Context(), p, job)
}

// judge checks the promises on what is left.
func judge(t *testing.T, w *world, kind tasks.Kind) storage.State {
	t.Helper()
	rec := w.record(kind, "A")
	if rec == nil || !rec.State.Final() {
		t.Errorf("the row is lost: %+v", rec)
		return ""
	}
	reissues := 0
	for _, at := range rec.Attempts {
		if at.Reissue {
			reissues++
		}
	}
	if w.vendor.charges > 1+reissues {
		t.Errorf("%d charges with %d recorded reissues: %+v", w.vendor.charges, reissues, rec.Attempts)
	}
	if rec.State == storage.StateValid && w.vendor.charges == 0 {
		t.Error("valid without a charge")
	}
	if rec.State == storage.StateValid && kind == tasks.Aadhaar && (rec.MaskedImage == nil || len(w.s3.masked) == 0) {
		t.Error("valid without an image")
	}
	if !w.hints.closed[string(kind)+"A"] {
		t.Error("the job is still on the open set")
	}
	return rec.State
}
