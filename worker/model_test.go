package worker

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"slices"
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

// TestModelNeverLosesNorPaysTwice plays random histories of one job: concurrent deliveries, workers that crash or stop for
// minutes at any step, an S3 that is slow, takes no writes or loses requests and replies, a Redis that forgets or goes back to
// an older state, 429 and 5xx, refused accounts and requests, cancelled batches and jobs, further runs and erasures, with a vendor that
// uses up ids on arrival or on success. After the faults end, every history must reach one final record that keeps the
// promises (see checkPromises).
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
		synctest.Test(t, func(t *testing.T) { outcomes[play(t, newRand(seed, uint64(i)))]++ })
		if t.Failed() {
			t.Fatalf("sequence %d of seed %d", i, seed)
		}
	}
	t.Logf("outcomes: %v", outcomes)
	if outcomes[storage.StateValid] < sequences/2 {
		t.Errorf("too few histories end valid for the model to test much: %v", outcomes)
	}
}

// history is the random history of one job.
type history struct {
	*world
	policy Policy
	kind   tasks.Kind
	mu     sync.Mutex
	runs   []tasks.JobSpec // the accepted ones
	erase  bool            // an operator has begun to erase the job
	erased bool            // that has succeeded
	forgot bool            // Redis has lost data
	bought []string        // the ids of the paid answers that have reached a worker that did not crash
}

// lockedSource is a source of random numbers for all goroutines of a sequence.
type lockedSource struct {
	mu  sync.Mutex
	pcg *rand.PCG
}

func newRand(seed, sequence uint64) *rand.Rand {
	return rand.New(&lockedSource{pcg: rand.NewPCG(seed, sequence)})
}

func (l *lockedSource) Uint64() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pcg.Uint64()
}

func play(t *testing.T, r *rand.Rand) storage.State {
	c := &chaos{rand: r, on: true}
	if r.IntN(2) == 0 {
		c.pauses = 0.02
	}
	if r.IntN(3) == 0 {
		c.storms = 0.05
	}
	h := &history{world: newWorld(c, testKeyset), kind: tasks.Kinds()[r.IntN(2)]}
	h.vendor.onArrival = r.IntN(2) == 0
	h.policy = Policy{ReissueLostAnswers: r.IntN(2) == 0, ReissuesPerDay: 100, FailOnAccountError: r.IntN(8) == 0}
	if h.kind == tasks.Aadhaar && r.IntN(8) == 0 {
		h.vendor.fetched = []error{&cashfree.LinkError{Gone: true}}
	}
	job := h.payload(h.kind, "A")
	if r.IntN(4) == 0 {
		h.vendor.script = []*cashfree.Reply{refusals[r.IntN(len(refusals))]}
	}
	var batch fakeBatches
	if r.IntN(3) == 0 {
		job.Batch, h.parts.Batches = "b-1", &batch
		batch.cancelledAt = time.Now().Add(time.Duration(r.IntN(600)) * time.Second)
	}
	job.Base.None = r.IntN(2) == 0
	h.s3.mark(job)
	h.runs = []tasks.JobSpec{job}
	var others sync.WaitGroup
	if h.forgot = r.IntN(3) == 0; h.forgot {
		others.Go(func() { h.rollBackRedis() })
	}
	if r.IntN(3) == 0 {
		others.Go(func() { h.rerun(t) })
	}
	if r.IntN(4) == 0 {
		c.imagePauses = 0.3
		others.Go(func() { h.eraseSometime(t) })
		others.Go(func() { h.lead(t) })
	}
	if r.IntN(4) == 0 {
		others.Go(func() { h.cancelSometime(t) })
	}
	h.deliverUnderFaults(t, others.Wait)
	return h.checkPromises(t)
}

// rollBackRedis lets Redis return to its state of some minutes ago, or lose all data.
func (h *history) rollBackRedis() {
	for range 1 + h.chaos.pick(3) {
		time.Sleep(time.Duration(h.chaos.pick(300)) * time.Second)
		kept, crashes := h.hints.state()
		if h.chaos.hit(0.5) {
			kept, crashes = map[string]string{}, map[string]int64{}
		}
		time.Sleep(time.Duration(h.chaos.pick(120)) * time.Second)
		h.hints.goBack(kept, crashes)
	}
}

// cancelSometime is an operator who cancels the job at random moments, and may be stopped after any step.
func (h *history) cancelSometime(t *testing.T) {
	push := func(context.Context, tasks.JobSpec) (tasks.Status, error) { return tasks.Enqueued, nil }
	for range 1 + h.chaos.pick(6) {
		time.Sleep(time.Duration(h.chaos.pick(100)) * time.Second)
		crash(func() {
			rec, err := Cancel(t.Context(), h.s3, h.kind, "A")
			if err == nil {
				_ = EndTask(t.Context(), h.s3, nothingInRedis, push, rec)
			}
		})
	}
}

// rerun is an operator who runs the job again once it has ended.
func (h *history) rerun(t *testing.T) {
	push := func(_ context.Context, job tasks.JobSpec) (tasks.Status, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.runs = append(h.runs, job)
		return tasks.Enqueued, nil
	}
	for range 6 {
		time.Sleep(time.Duration(h.chaos.pick(200)) * time.Second)
		done := false
		crash(func() {
			_, err := Rerun(t.Context(), h.s3, push, h.kind, "A", 0)
			done = err == nil
		})
		if done {
			return
		}
	}
}

// eraseSometime is an operator who erases the job at a random moment, and again until that has succeeded.
func (h *history) eraseSometime(t *testing.T) {
	for range 6 {
		time.Sleep(time.Duration(h.chaos.pick(200)) * time.Second)
		if h.eraseOnce(t) {
			return
		}
	}
}

func (h *history) eraseOnce(t *testing.T) bool {
	forget := func(ctx context.Context, rec *storage.Record) error {
		return h.hints.DropAnswer(ctx, string(rec.Kind), rec.VerificationID)
	}
	err := errInjected // if it crashes
	crash(func() { _, err = Erase(t.Context(), h.s3, forget, h.keyset, h.kind, "A", "specimen", "a request") })
	h.mu.Lock()
	defer h.mu.Unlock()
	h.erase = h.erase || !errors.Is(err, ErrNotFinal) && !errors.Is(err, storage.ErrNotFound)
	h.erased = h.erased || err == nil
	return err == nil
}

// lead is the leader for an hour: it delivers an erased job while that has its marker.
func (h *history) lead(t *testing.T) {
	for range 20 {
		time.Sleep(3 * time.Minute)
		if rec := h.record(h.kind, "A"); rec != nil && rec.Erased != nil && h.open(rec) {
			h.deliver(t, rec.JobSpec)
		}
	}
}

// open reports whether the record's run has its marker.
func (h *history) open(rec *storage.Record) bool {
	h.s3.mu.Lock()
	defer h.s3.mu.Unlock()
	_, ok := h.s3.markers[storage.OpenRunOf(rec.JobSpec)]
	return ok
}

// anyRun is the payload of one of the runs.
func (h *history) anyRun() tasks.JobSpec {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.runs[h.chaos.pick(len(h.runs))]
}

// refusals are replies that are not charged.
var refusals = []*cashfree.Reply{
	{Class: cashfree.Rejected, HTTPStatus: 400},
	{Class: cashfree.Credentials, HTTPStatus: 401},
	{Class: cashfree.NoBalance, HTTPStatus: 422},
}

// deliverUnderFaults delivers the runs to up to three workers at once, with faults until others returns, and then the last run
// without faults until it is final.
func (h *history) deliverUnderFaults(t *testing.T, others func()) {
	var wg sync.WaitGroup
	for range 2 + h.chaos.pick(2) {
		wg.Go(func() {
			for range 6 {
				h.deliver(t, h.anyRun())
				time.Sleep(time.Duration(h.chaos.pick(60)) * time.Second)
				if h.chaos.hit(0.5) {
					h.gate.resume()
				}
			}
		})
	}
	wg.Wait()
	others()
	h.chaos.stop()
	if rec := h.record(h.kind, "A"); rec != nil && !rec.State.Final() && storage.Marked(rec.JobSpec) && !h.open(rec) {
		t.Errorf("an unfinished record without a marker: %+v", rec)
	}
	for range 60 {
		h.gate.resume()
		job := h.runs[0]
		if rec := h.record(h.kind, "A"); rec != nil {
			if rec.Erased != nil && !h.open(rec) {
				break // nothing delivers it again
			}
			job = rec.JobSpec
		}
		if h.deliver(t, job) == Final {
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
	clear(g.odd)
}

// mark puts the marker of a run, as Accept and Rerun do before they write its record.
func (s *fakeS3) mark(job tasks.JobSpec) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if storage.Marked(job) {
		s.markers[storage.OpenRunOf(job)] = time.Now()
	}
}

// longestDelay is the longest that a verdict may delay a job: the longest backoff.
const longestDelay = 10 * time.Minute

// deliver delivers the job to a new worker, half of the time with a lease that ends.
func (h *history) deliver(t *testing.T, job tasks.JobSpec) (d Decision) {
	p, err := NewProcessor(h.parts, h.policy)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer p.Drain()
	var bought []string
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), boughtKey{}, &bought))
	defer cancel()
	if h.chaos.hit(0.5) {
		defer time.AfterFunc(time.Duration(30+h.chaos.pick(300))*time.Second, cancel).Stop()
	}
	crash(func() {
		v := p.Process(ctx, job)
		if d = v.Decision; v.After > longestDelay {
			t.Errorf("a job waits for %s: %s", v.After, v.Reason)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.bought = append(h.bought, bought...)
	})
	return d
}

// checkPromises checks the promises on the final state, after sweeps of a day.
func (h *history) checkPromises(t *testing.T) storage.State {
	t.Helper()
	for range 50 {
		if !h.erase || h.erased || h.eraseOnce(t) {
			break
		}
	}
	p, err := NewProcessor(h.parts, Policy{})
	if err != nil {
		t.Error(err)
		return ""
	}
	sweeper := h.sweeper(p, newFakeRedis())
	for range 2 {
		if err := sweeper.Once(t.Context()); err != nil { // deletes the marker of a row that a late answer has reopened
			t.Error(err)
		}
		time.Sleep(25 * time.Hour) // a marker without a record goes after a day
	}
	if len(h.s3.markers) != 0 || len(h.s3.unmarked) != 0 {
		t.Errorf("markers %v, written without a marker: %v", h.s3.markers, h.s3.unmarked)
	}
	rec := h.record(h.kind, "A")
	if rec == nil || !rec.State.Final() || rec.Run < h.runs[len(h.runs)-1].Run {
		t.Errorf("the job was lost: %+v", rec)
		return ""
	}
	h.checkCharges(t, rec)
	if h.erase {
		h.checkErasure(t, rec)
	} else {
		h.checkResults(t, rec)
	}
	return rec.State
}

// checkCharges checks that every further charge has its mark in the record, and the marks against the vendor's ledger.
func (h *history) checkCharges(t *testing.T, rec *storage.Record) {
	t.Helper()
	ids, reissued := map[string]bool{}, map[string]bool{}
	charges, reissues := map[int]int{}, map[int]int{}
	for i, at := range rec.Attempts {
		if !ids[at.ProviderID] {
			charges[at.Run] += h.vendor.charged[at.ProviderID]
		}
		if at.Reissue && !reissued[at.ProviderID] {
			reissued[at.ProviderID] = true
			reissues[at.Run]++
			if !h.mayHaveCharged(rec.Attempts[:i], at) {
				t.Errorf("%s is a reissue, but no call before it can have been charged: %+v", at.ProviderID, rec.Attempts)
			}
		}
		ids[at.ProviderID] = true
	}
	for run, n := range charges {
		if n > 1+reissues[run] {
			t.Errorf("%d charges of run %d with %d reissues: %+v", n, run, reissues[run], rec.Attempts)
		}
	}
	if h.vendor.charges > 1+len(reissued) {
		t.Errorf("%d charges with %d recorded reissues: %+v", h.vendor.charges, len(reissued), rec.Attempts)
	}
	for id := range h.vendor.charged {
		if !ids[id] {
			t.Errorf("the charge of %s is not in the record: %+v", id, rec.Attempts)
		}
	}
	if rec.State == storage.StateValid && h.vendor.charges == 0 {
		t.Error("valid without a charge")
	}
}

// mayHaveCharged reports whether the vendor's ledger has a charge of an earlier id, or cannot exclude one: kycq knows the
// answer of a call less often than the vendor. Within a run, a reissue follows a 409, so the vendor has used the id up.
func (h *history) mayHaveCharged(earlier []storage.Attempt, reissue storage.Attempt) bool {
	return slices.ContainsFunc(earlier, func(at storage.Attempt) bool {
		switch {
		case at.ProviderID == reissue.ProviderID:
			return false
		case h.vendor.charged[at.ProviderID] > 0:
			return true
		case at.Run < reissue.Run:
			return at.FateUnknown()
		}
		return h.vendor.onArrival && h.vendor.used[at.ProviderID] && at.FateUnknown()
	})
}

// checkErasure checks that nothing of the person is left.
func (h *history) checkErasure(t *testing.T, rec *storage.Record) {
	t.Helper()
	kept := len(h.hints.kept)
	if h.forgot { // a Redis that goes back to an older state has the sealed answer again, until it expires
		kept = 0
	}
	if n := len(h.s3.masked) + len(h.s3.quar) + len(h.s3.inbox) + kept; n != 0 {
		t.Errorf("erased, but left: %d masked, %d in quarantine, %d uploads, %d answers", len(h.s3.masked), len(h.s3.quar), len(h.s3.inbox), len(h.hints.kept))
	}
	if rec.Erased == nil || rec.SealedInput+rec.Sealed+rec.Fingerprint != "" || rec.MaskedImage != nil || rec.Passport != nil {
		t.Errorf("erased, but in the record: %+v", rec)
	}
}

// checkResults checks that every result that was ever bought or written is kept, in the record's run or in an earlier one. An
// answer that reached a worker can be lost only by a crash, or by a Redis that forgets it while S3 does not take it.
func (h *history) checkResults(t *testing.T, rec *storage.Record) {
	t.Helper()
	for _, id := range h.bought {
		i := slices.IndexFunc(rec.Attempts, func(at storage.Attempt) bool { return at.ProviderID == id })
		if !h.forgot && !slices.ContainsFunc(rec.Attempts, func(at storage.Attempt) bool {
			return i >= 0 && at.Run >= rec.Attempts[i].Run && at.HTTPStatus == 200
		}) {
			t.Errorf("the answer of %s was bought and is gone: %+v", id, rec)
		}
	}
	kept := map[int]storage.State{rec.Run: rec.State}
	images := []*storage.MaskedImage{rec.MaskedImage}
	for _, e := range rec.Earlier {
		kept[e.Run] = e.State
		images = append(images, e.MaskedImage)
	}
	for _, was := range h.s3.history {
		if (was.State == storage.StateValid || was.State == storage.StateInvalid) && kept[was.Run] != was.State {
			t.Errorf("run %d was %s and is %q: %+v", was.Run, was.State, kept[was.Run], rec)
			return
		}
	}
	for _, img := range images {
		if img != nil && h.s3.masked[img.Key] == nil {
			t.Errorf("the image %s is gone: %+v", img.Key, rec)
		}
	}
	if rec.State == storage.StateValid && h.kind == tasks.Aadhaar && rec.MaskedImage == nil {
		t.Error("valid without an image")
	}
}
