package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/internal/redact"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

var errInjected = errors.New("injected fault")

// crashed is the panic by which a fake ends the worker that called it, like SIGKILL.
type crashed struct{}

// chaos injects faults. Its zero value injects none.
type chaos struct {
	mu   sync.Mutex
	rand *rand.Rand // nil: none
	on   bool
	// pauses is the probability that the worker stops for 1 to 20 minutes in a call of a fake, storms that a storm begins: for
	// a while S3's writes are slow, or all fail.
	pauses, storms         float64
	imagePauses            float64 // that it stops for up to an hour before it stores an image, and may crash afterwards
	slowUntil, failedUntil time.Time
}

// hit reports whether an event of probability p happens now.
func (c *chaos) hit(p float64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.on && c.rand != nil && c.rand.Float64() < p
}

func (c *chaos) pick(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rand == nil {
		return 0
	}
	return c.rand.IntN(n)
}

func (c *chaos) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = false
}

// step is called first by every fake: it takes a moment and may pause or crash the worker.
func (c *chaos) step(p float64) {
	time.Sleep(time.Duration(1+c.pick(20)) * time.Millisecond)
	if c.hit(c.pauses) {
		time.Sleep(time.Duration(1+c.pick(20)) * time.Minute)
	}
	if c.hit(p) {
		panic(crashed{})
	}
}

// put is called by every write to S3: it takes up to 12 s, or fails, during a storm.
func (c *chaos) put() error {
	if c.hit(c.storms) {
		until := time.Now().Add(time.Duration(10+c.pick(120)) * time.Second)
		slow := c.pick(2) == 0
		c.mu.Lock()
		if slow {
			c.slowUntil = until
		} else {
			c.failedUntil = until
		}
		c.mu.Unlock()
	}
	c.mu.Lock()
	slow, failed := c.on && time.Now().Before(c.slowUntil), c.on && time.Now().Before(c.failedUntil)
	c.mu.Unlock()
	if slow {
		time.Sleep(300*time.Millisecond + time.Duration(c.pick(11_700))*time.Millisecond)
	}
	if failed || c.hit(faultRate) {
		return storage.ErrUnreachable
	}
	return nil
}

const crashRate, faultRate = 0.03, 0.04

// fakeS3 is a compare-and-swap store in memory, with S3's clock.
type fakeS3 struct {
	chaos  *chaos
	mu     sync.Mutex
	docs   map[string]fakeDoc
	etags  int
	masked map[string][]byte
	inbox  map[string][]byte
	quar   map[string][]byte
	// markers are the open runs, with the time of the put; unmarked are the records written while they had none.
	markers  map[storage.OpenRun]time.Time
	unmarked []string
	unowed   []string // runs that a write has ended without Ending: no webhook event would be owed
	complete bool
	history  []*storage.Record // as they were written
}

type fakeDoc struct {
	json     []byte
	etag     string
	modified time.Time
}

func newFakeS3(c *chaos) *fakeS3 {
	return &fakeS3{
		chaos: c, docs: map[string]fakeDoc{}, masked: map[string][]byte{}, inbox: map[string][]byte{}, quar: map[string][]byte{},
		markers: map[storage.OpenRun]time.Time{}, complete: true,
	}
}

func (s *fakeS3) Record(ctx context.Context, k tasks.Kind, id string) (*storage.Record, storage.Version, error) {
	s.chaos.step(crashRate)
	if ctx.Err() != nil {
		return nil, storage.Version{}, ctx.Err()
	}
	if s.chaos.hit(faultRate) {
		return nil, storage.Version{}, storage.ErrUnreachable
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read(k, id)
}

func (s *fakeS3) read(k tasks.Kind, id string) (*storage.Record, storage.Version, error) {
	d, ok := s.docs[string(k)+id]
	if !ok {
		return nil, storage.Version{}, storage.ErrNotFound
	}
	var rec storage.Record
	if err := json.Unmarshal(d.json, &rec); err != nil {
		return nil, storage.Version{}, err
	}
	return &rec, storage.Version{ETag: d.etag, Age: time.Since(d.modified)}, nil
}

func (s *fakeS3) CreateRecord(ctx context.Context, rec *storage.Record) (storage.Version, error) {
	return s.write(ctx, rec, "")
}

func (s *fakeS3) SwapRecord(ctx context.Context, rec *storage.Record, was storage.Version) (storage.Version, error) {
	return s.write(ctx, rec, was.ETag)
}

func (s *fakeS3) write(ctx context.Context, rec *storage.Record, etag string) (storage.Version, error) {
	s.chaos.step(crashRate)
	if ctx.Err() != nil {
		return storage.Version{}, ctx.Err()
	}
	if err := s.chaos.put(); err != nil {
		return storage.Version{}, err
	}
	s.mu.Lock()
	if s.docs[string(rec.Kind)+rec.VerificationID].etag != etag {
		s.mu.Unlock()
		if etag == "" {
			return storage.Version{}, storage.ErrExists
		}
		return storage.Version{}, storage.ErrConflict
	}
	if was, _, err := s.read(rec.Kind, rec.VerificationID); !rec.CompletedAt.IsZero() && !rec.Ending && (err != nil || !was.CompletedAt.Equal(rec.CompletedAt)) {
		s.unowed = append(s.unowed, fmt.Sprintf("%s %s run %d, %s", rec.Kind, rec.VerificationID, rec.Run, rec.State))
	}
	rec.UpdatedAt = now()
	raw, err := json.Marshal(rec)
	if err != nil {
		s.mu.Unlock()
		return storage.Version{}, err
	}
	if _, ok := s.markers[storage.OpenRunOf(rec.JobSpec)]; !ok && !rec.State.Final() && storage.Marked(rec.JobSpec) {
		s.unmarked = append(s.unmarked, fmt.Sprintf("%s %s run %d, %s", rec.Kind, rec.VerificationID, rec.Run, rec.State))
	}
	s.etags++
	d := fakeDoc{json: raw, etag: fmt.Sprint(s.etags), modified: time.Now()}
	s.docs[string(rec.Kind)+rec.VerificationID] = d
	s.history = append(s.history, rec.Clone())
	s.mu.Unlock()
	s.chaos.step(crashRate)
	if s.chaos.hit(faultRate) { // written, but the reply was lost
		return storage.Version{}, storage.ErrUnreachable
	}
	rec.Ending = false
	return storage.Version{ETag: d.etag}, nil
}

// setRecord stores the record as it is.
func (s *fakeS3) setRecord(rec *storage.Record) {
	raw, err := json.Marshal(rec)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.etags++
	s.docs[string(rec.Kind)+rec.VerificationID] = fakeDoc{json: raw, etag: fmt.Sprint(s.etags), modified: time.Now()}
}

func (s *fakeS3) MarkOpen(_ context.Context, run storage.OpenRun) error {
	s.chaos.step(crashRate)
	if err := s.chaos.put(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	run.Age = 0
	s.markers[run] = time.Now()
	return nil
}

func (s *fakeS3) UnmarkOpen(ctx context.Context, run storage.OpenRun) error {
	s.chaos.step(crashRate)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := s.chaos.put(); err != nil {
		return err
	}
	s.mu.Lock()
	run.Age = 0
	delete(s.markers, run)
	s.mu.Unlock()
	s.chaos.step(crashRate)
	if s.chaos.hit(faultRate) {
		return storage.ErrUnreachable
	}
	return nil
}

// marked reports whether run 1 of a live job has its marker.
func (s *fakeS3) marked(kind tasks.Kind, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.markers[storage.OpenRun{Kind: kind, Lane: tasks.Live, VerificationID: id, Run: 1}]
	return ok
}

func (s *fakeS3) ImageHead(_ context.Context, img tasks.Image, n int64) ([]byte, int64, error) {
	s.chaos.step(crashRate)
	if s.chaos.hit(faultRate) {
		return nil, 0, storage.ErrUnreachable
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	body, ok := s.inbox[img.Key]
	if !ok {
		return nil, 0, storage.ErrNotFound
	}
	return body[:min(int64(len(body)), n)], int64(len(body)), nil
}

func (s *fakeS3) OpenImage(_ context.Context, img tasks.Image) (io.ReadCloser, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, ok := s.inbox[img.Key]
	if !ok {
		return nil, 0, storage.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
}

func (s *fakeS3) DeleteUpload(ctx context.Context, img tasks.Image) error {
	s.chaos.step(crashRate)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := s.chaos.put(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.inbox, img.Key)
	return nil
}

func (s *fakeS3) PutMasked(ctx context.Context, id string, run int, ext, _ string, body []byte) (string, string, error) {
	key := fmt.Sprintf("masked/%s/%d.%s", id, run, ext)
	return "kycq-masked", key, s.putImage(ctx, s.masked, key, body)
}

func (s *fakeS3) PutQuarantine(ctx context.Context, id, _ string, body []byte) (string, string, error) {
	return "kycq-inbox", "quarantine/" + id, s.putImage(ctx, s.quar, id, body)
}

// putImage ignores the end of ctx: the request may have left before. It refuses a fenced request as a store does.
func (s *fakeS3) putImage(ctx context.Context, images map[string][]byte, key string, body []byte) error {
	crash := crashRate
	if s.chaos.hit(s.chaos.imagePauses) {
		time.Sleep(time.Duration(1+s.chaos.pick(60)) * time.Minute)
		crash = 0.5
	}
	s.chaos.step(crashRate)
	if at, fenced := storage.FencedAt(ctx); fenced && time.Since(at) > 15*time.Minute {
		return storage.ErrDenied
	}
	if err := s.chaos.put(); err != nil {
		return err
	}
	s.mu.Lock()
	images[key] = body
	s.mu.Unlock()
	s.chaos.step(crash)
	return nil
}

// fakeHints is the part of Redis apart from the queues.
type fakeHints struct {
	chaos    *chaos
	mu       sync.Mutex
	crashes  map[string]int64
	kept     map[string]string
	reissues int
	paid     int // calls
}

func newFakeHints(c *chaos) *fakeHints {
	return &fakeHints{chaos: c, crashes: map[string]int64{}, kept: map[string]string{}}
}

func (h *fakeHints) state() (kept map[string]string, crashes map[string]int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.kept), maps.Clone(h.crashes)
}

// goBack returns to an older state.
func (h *fakeHints) goBack(kept map[string]string, crashes map[string]int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept, h.crashes = kept, crashes
}

func (h *fakeHints) fault() error {
	if h.chaos.hit(faultRate) {
		return errInjected
	}
	return nil
}

func (h *fakeHints) CrashCount(_ context.Context, kind, id string) (int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.crashes[kind+id], h.fault()
}

func (h *fakeHints) RaiseCrashCount(_ context.Context, kind, id string) (int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.crashes[kind+id]++
	return h.crashes[kind+id], nil
}

func (h *fakeHints) ClearCrashCount(_ context.Context, kind, id string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.crashes, kind+id)
	return nil
}

func (h *fakeHints) KeepAnswer(_ context.Context, kind, id, sealed string) error {
	h.chaos.step(0)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.fault(); err != nil {
		return err
	}
	h.kept[kind+id] = sealed
	return nil
}

func (h *fakeHints) KeptAnswer(_ context.Context, kind, id string) (string, bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	sealed, ok := h.kept[kind+id]
	return sealed, ok, h.fault()
}

func (h *fakeHints) CountEnd(_ context.Context, _, _, _, _ string, paid int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.paid += paid
	return nil
}

func (h *fakeHints) DropAnswer(_ context.Context, kind, id string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.kept, kind+id)
	return h.fault()
}

func (h *fakeHints) TakeReissue(_ context.Context, perDay int) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.fault(); err != nil {
		return false, err
	}
	h.reissues++
	return h.reissues <= perDay, nil
}

// openGate denies no permit, except on hold.
type openGate struct {
	mu       sync.Mutex
	outcomes []gate.OutcomeKind
	held     *hold.Hold
	unstored map[string]bool // kind and job
	odd      map[string]int  // odd answers by job, since the last good one
	first    map[string]int  // good answers before the first odd one of a job
	good     int
}

func (g *openGate) OddAnswer(_ context.Context, _, job string) (hold.Streak, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.first[job]; !ok {
		g.first[job] = g.good
	}
	g.odd[job]++
	return hold.Streak{Jobs: len(g.odd), Tries: g.odd[job], GoodSince: g.good > g.first[job]}, nil
}

func (g *openGate) GoodAnswer(context.Context, string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.good++
	clear(g.odd)
	return nil
}

func (g *openGate) Acquire(ctx context.Context, _ gate.Call) (*gate.Permit, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held != nil {
		return nil, &gate.ClosedError{Reason: gate.ReasonHeld, RetryAfter: time.Second, Hold: g.held}
	}
	return &gate.Permit{}, nil
}

func (g *openGate) Report(_ context.Context, _ *gate.Permit, o gate.Outcome) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.outcomes = append(g.outcomes, o.Kind)
	return nil
}

func (g *openGate) RaiseHold(_ context.Context, h hold.Hold) (bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	first := g.held == nil
	g.held = &h
	return first, nil
}

func (g *openGate) CountEnd(context.Context, hold.Hold, hold.End, int) (bad, of int, err error) {
	return 0, 0, nil
}

func (g *openGate) AddUnstored(_ context.Context, h hold.Hold, limit int) (bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.unstored == nil {
		g.unstored = map[string]bool{}
	}
	g.unstored[h.Kind+h.Job] = true
	raised := (len(g.unstored) >= limit || h.Code == hold.Denied) && g.held == nil
	if raised {
		g.held = &h
	}
	return raised, nil
}

func (g *openGate) DropUnstored(_ context.Context, h hold.Hold, limit int) (bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.unstored, h.Kind+h.Job)
	lifted := len(g.unstored) < limit && g.held != nil && g.held.Same(h)
	if lifted {
		g.held = nil
	}
	return lifted, nil
}

func (g *openGate) Unstored(_ context.Context, kind string) (jobs []string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for job := range g.unstored {
		if id, ok := strings.CutPrefix(job, kind); ok {
			jobs = append(jobs, id)
		}
	}
	return jobs, nil
}

// fakeVendor charges for every 200, and uses up ids on arrival or on success. script holds the replies to the next calls;
// if it is empty, the reply is VALID.
type fakeVendor struct {
	chaos     *chaos
	received  int64 // bytes of images
	onArrival bool
	arrived   func() // called after each request, if it is set

	mu      sync.Mutex
	used    map[string]bool
	charges int
	charged map[string]int // charges by id
	calls   []string
	script  []*cashfree.Reply
	answer  func(id string) *cashfree.Reply // if it is set and returns one, that is the reply, and nothing is charged
	fetched []error                         // the errors of the next image fetches, nil for success
}

func (v *fakeVendor) MaskAadhaar(ctx context.Context, r cashfree.MaskRequest) *cashfree.Reply {
	n, err := io.Copy(io.Discard, r.Image)
	v.mu.Lock()
	v.received += n
	v.mu.Unlock()
	if err != nil { // the client cuts the request
		return &cashfree.Reply{Class: cashfree.SourceBroken, Err: fmt.Errorf("image source: %w", err)}
	}
	return v.call(ctx, r.ProviderID)
}

func (v *fakeVendor) VerifyPassport(ctx context.Context, r cashfree.PassportRequest) *cashfree.Reply {
	return v.call(ctx, r.ProviderID)
}

// call loses the reply if ctx ends before it, or its timeout.
func (v *fakeVendor) call(ctx context.Context, id string) *cashfree.Reply {
	const timeout = 30 * time.Second
	began := time.Now()
	v.chaos.step(crashRate) // the request is on its way
	if v.chaos.hit(faultRate) || time.Since(began) > timeout {
		return &cashfree.Reply{Class: cashfree.NotSent, Err: errInjected}
	}
	reply := v.serve(id)
	if v.arrived != nil {
		v.arrived()
	}
	time.Sleep(time.Duration(v.chaos.pick(3)) * 10 * time.Second)
	v.chaos.step(crashRate) // the reply is on its way
	if ctx.Err() != nil || v.chaos.hit(faultRate) || time.Since(began) > timeout {
		return &cashfree.Reply{Class: cashfree.Lost, Err: errInjected}
	}
	if got, ok := ctx.Value(boughtKey{}).(*[]string); ok && reply.HTTPStatus == 200 {
		*got = append(*got, id)
	}
	return reply
}

// boughtKey is the key of a *[]string in the context of a delivery: the ids of the paid answers that have reached it.
type boughtKey struct{}

func (v *fakeVendor) serve(id string) *cashfree.Reply {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.calls = append(v.calls, id)
	if v.answer != nil {
		if reply := v.answer(id); reply != nil {
			return reply
		}
	}
	if v.used[id] {
		return &cashfree.Reply{Class: cashfree.Duplicate, HTTPStatus: 409}
	}
	reply := validReply()
	switch {
	case len(v.script) > 0:
		reply, v.script = v.script[0], v.script[1:]
	case v.chaos.hit(0.2):
		reply = []*cashfree.Reply{
			{Class: cashfree.OtherStatus, HTTPStatus: 502},
			{Class: cashfree.OtherStatus, HTTPStatus: 500},
			{Class: cashfree.RateLimited, HTTPStatus: 429},
		}[v.chaos.pick(3)]
	}
	switch reply.HTTPStatus {
	case 200:
		v.used[id] = true
		v.charges++
		v.charged[id]++
	case 500, 502: // the other answers come before Cashfree looks at the id
		v.used[id] = v.onArrival
	}
	return reply
}

func validReply() *cashfree.Reply {
	return &cashfree.Reply{
		Class: cashfree.Valid, HTTPStatus: 200, ReferenceID: 7, Image: redact.NewSecret("https://images.invalid/1"), Body: []byte("{}"),
		Passport: &cashfree.PassportAnswer{
			FileNumber: redact.NewPersonal("SPECIMEN00001"), Name: redact.NewPersonal("Specimen Person"), DOB: redact.NewPersonal("1990-01-31"),
		},
	}
}

func (v *fakeVendor) FetchImage(context.Context, redact.Secret) (*cashfree.FetchedImage, error) {
	v.chaos.step(crashRate)
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.fetched) > 0 {
		err := v.fetched[0]
		v.fetched = v.fetched[1:]
		if err != nil {
			return nil, err
		}
	}
	return &cashfree.FetchedImage{Body: []byte("masked"), ContentType: "image/png"}, nil
}

func checkAlwaysSafe(context.Context, []byte, maskcheck.SourceInfo) (maskcheck.Report, error) {
	return maskcheck.Report{File: []byte("pixels"), Width: 30, Height: 20, ContentType: "image/png", Ext: "png"}, nil
}

// world holds the fakes that a worker uses.
type world struct {
	chaos  *chaos
	s3     *fakeS3
	hints  *fakeHints
	gate   *openGate
	vendor *fakeVendor
	keyset *seal.Keyset
	parts  Parts
}

func newWorld(c *chaos, keyset *seal.Keyset) *world {
	w := &world{
		chaos: c, s3: newFakeS3(c), hints: newFakeHints(c), gate: &openGate{odd: map[string]int{}, first: map[string]int{}}, keyset: keyset,
		vendor: &fakeVendor{chaos: c, used: map[string]bool{}, charged: map[string]int{}},
	}
	w.parts = Parts{
		Records: w.s3, Images: w.s3, MaskedImages: w.s3, Vendor: w.vendor, Gate: w.gate, Keyset: keyset,
		CheckMask: checkAlwaysSafe, Hints: w.hints, Log: zerolog.Nop(),
	}
	return w
}

// payload returns a job as it arrives in the payload of its task.
func (w *world) payload(kind tasks.Kind, id string) tasks.JobSpec {
	in := tasks.Input{Passport: &tasks.PassportInput{
		FileNumber: tasks.NewPersonal("SPECIMEN00001"), DOB: tasks.NewPersonal("1990-01-31"), Name: tasks.NewPersonal("specimen  person"),
	}}
	if kind == tasks.Aadhaar {
		key := "single/" + id
		w.s3.inbox[key] = specimenPNG
		in = tasks.Input{Image: &tasks.Image{Bucket: "kycq-inbox", Key: key, Uploaded: true}}
	}
	return w.sealed(kind, id, in)
}

// sealed returns a job with the input.
func (w *world) sealed(kind tasks.Kind, id string, in tasks.Input) tasks.JobSpec {
	plain, err := tasks.EncodeInput(in)
	if err != nil {
		panic(err)
	}
	sealed, err := w.keyset.Seal(plain, tasks.InputBinding(kind, id))
	if err != nil {
		panic(err)
	}
	return tasks.JobSpec{
		Kind: kind, VerificationID: id, Lane: tasks.Live, Run: 1, SealedInput: sealed,
		Fingerprint: w.keyset.Fingerprint(string(kind), id, plain),
	}
}

func (w *world) record(kind tasks.Kind, id string) *storage.Record {
	w.s3.mu.Lock()
	defer w.s3.mu.Unlock()
	rec, _, err := w.s3.read(kind, id)
	if err != nil {
		return nil
	}
	return rec
}
