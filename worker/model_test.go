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

// TestModelNeverLosesNorPaysTwice plays random histories of one job: concurrent deliveries, workers that crash at any step,
// S3 and Redis faults with and without effect, lost requests and replies, 429 and 5xx, refused accounts and requests,
// cancelled batches and further runs, with a vendor that uses up ids on arrival or on success. After the faults end, every
// history must reach one final record, with at most one charge plus one for each reissue in the record.
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
		t.Errorf("too few histories end valid for the model to test much: %v", outcomes)
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
	policy.FailOnAccountError = r.IntN(8) == 0
	job := w.payload(kind, "A")
	if r.IntN(4) == 0 {
		w.vendor.script = []*cashfree.Reply{refusals[r.IntN(len(refusals))]}
	}
	var batch fakeBatches
	if r.IntN(3) == 0 {
		job.Batch, w.parts.Batches = "b-1", &batch
		batch.cancelledAt = time.Now().Add(time.Duration(r.IntN(600)) * time.Second)
	}
	w.s3.mark(job)
	deliverUnderFaults(t, w, policy, job)
	state := checkPromises(t, w, kind)
	if r.IntN(4) > 0 || t.Failed() {
		return state
	}
	second := job
	second.Run = 2
	w.s3.mark(second)
	w.chaos.start()
	deliverUnderFaults(t, w, policy, second, job)
	if rec := w.record(kind, "A"); rec == nil || rec.Run != 2 {
		t.Errorf("the second run was lost: %+v", rec)
	}
	return checkPromises(t, w, kind)
}

// refusals are replies that are not charged.
var refusals = []*cashfree.Reply{
	{Class: cashfree.Rejected, HTTPStatus: 400},
	{Class: cashfree.Credentials, HTTPStatus: 401},
	{Class: cashfree.NoBalance, HTTPStatus: 422},
}

// deliverUnderFaults delivers the jobs to up to three workers at once, with faults, and then the first job without faults
// until it is final.
func deliverUnderFaults(t *testing.T, w *world, policy Policy, jobs ...tasks.JobSpec) {
	var wg sync.WaitGroup
	for range 2 + w.chaos.pick(2) {
		wg.Go(func() {
			for range 6 {
				deliver(t, w, policy, jobs[w.chaos.pick(len(jobs))])
				time.Sleep(time.Duration(w.chaos.pick(60)) * time.Second)
				if w.chaos.hit(0.5) {
					w.gate.resume()
				}
			}
		})
	}
	wg.Wait()
	w.chaos.stop()
	if rec := w.record(jobs[0].Kind, "A"); rec != nil && !rec.State.Final() && storage.Marked(rec.JobSpec) && len(w.s3.markers) == 0 {
		t.Errorf("an unfinished record without a marker: %+v", rec)
	}
	for range 40 {
		w.gate.resume()
		if deliver(t, w, policy, jobs[0]) == Final {
			break
		}
		time.Sleep(time.Minute)
	}
}

// resume lifts the hold, as an operator does.
func (g *openGate) resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = nil
}

// mark puts the marker of a run, as Accept and Rerun do before they write its record.
func (s *fakeS3) mark(job tasks.JobSpec) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if storage.Marked(job) {
		s.markers[storage.OpenRunOf(job)] = time.Now()
	}
}

func (c *chaos) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = true
}

// deliver delivers the job to a new worker.
func deliver(t *testing.T, w *world, policy Policy, job tasks.JobSpec) Decision {
	p, err := NewProcessor(w.parts, policy)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer p.Drain()
	return processOrCrash(t.Context(), p, job)
}

// checkPromises checks the promises on the final state.
func checkPromises(t *testing.T, w *world, kind tasks.Kind) storage.State {
	t.Helper()
	rec := w.record(kind, "A")
	if rec == nil || !rec.State.Final() {
		t.Errorf("the job was lost: %+v", rec)
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
	p, err := NewProcessor(w.parts, Policy{})
	if err == nil {
		err = w.sweeper(p, newFakeRedis()).Once(t.Context()) // deletes the marker of a row that a late answer has reopened
	}
	if err != nil || len(w.s3.markers) != 0 || len(w.s3.unmarked) != 0 {
		t.Errorf("%v, markers %v, written without a marker: %v", err, w.s3.markers, w.s3.unmarked)
	}
	return rec.State
}
