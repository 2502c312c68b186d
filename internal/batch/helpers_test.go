package batch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/redact"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/internal/testenv"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
	"github.com/kycq/kycq/tasks"
	"github.com/kycq/kycq/worker"
)

func TestMain(m *testing.M) {
	// Connections of miniredis and httptest close after their servers have been closed.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/alicebob/miniredis/v2/server.(*Server).servePeer"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"))
}

// setup is everything around a batch. Tests run the feeder's ticks and the worker's deliveries themselves, in one goroutine.
type setup struct {
	t         *testing.T
	redis     *redis.Client
	store     *storage.Store
	keyset    *tasks.Keyset
	client    *tasks.Client
	control   *Control
	feeder    *Feeder
	inspector *asynq.Inspector
	vendor    *vendor
	worker    *worker.Processor
	rate      float64 // calls a minute; the depth of the queue depends on it
}

func newSetup(t *testing.T) *setup {
	t.Helper()
	keyset, err := seal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	h := &setup{
		t: t, redis: testenv.RedisClient(t), store: storagetest.New(t), keyset: keyset,
		vendor: &vendor{calls: map[string]int{}, answers: map[string]cashfree.Class{}}, rate: 100,
	}
	h.client, err = tasks.NewClient(tasks.ClientConfig{Redis: h.redis, Ledger: h.store, Keyset: keyset})
	if err != nil {
		t.Fatal(err)
	}
	h.inspector = asynq.NewInspectorFromRedisClient(h.redis)
	h.control = NewControl(h.redis, h.store)
	h.feeder = NewFeeder(FeederConfig{
		Redis: h.redis, Store: h.store, Keyset: keyset, Client: h.client, Progress: h.control.Progress, Gate: openGate{h},
		Finish: func(ctx context.Context, job tasks.JobSpec) bool {
			return h.worker.Process(ctx, job).Decision == worker.Final
		},
		Log: zerolog.Nop(),
	})
	h.worker, err = worker.NewProcessor(worker.Parts{
		Records: h.store, Images: h.store, MaskedImages: h.store, Vendor: h.vendor, Gate: openGate{h}, Keyset: keyset,
		Hints: redisx.NewHints(h.redis), Batches: h.control.Progress, Log: zerolog.Nop(),
	}, worker.Policy{RetryCodes: []int{}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// batch accepts a passport batch with that many rows. The verification_id is made of the name and the row's number.
func (h *setup) batch(name string, rows int) *Batch {
	h.t.Helper()
	return h.batchOf(name, rows, func(row int) (id, number string) {
		return fmt.Sprintf("%s-%05d", name, row), fmt.Sprintf("SPEC%05d", row)
	})
}

func (h *setup) batchOf(name string, rows int, row func(n int) (id, number string)) *Batch {
	h.t.Helper()
	content := fmt.Sprintf("%064x", rows*1000+len(name))
	b := &Batch{
		ID: NewID(name, content), Name: name, Kind: tasks.Passport, State: Running, Content: content, Plan: "plan0",
		Rows: rows, Runs: []Run{{Kind: AllRows, Rows: rows, Why: "submitted", At: now()}},
	}
	writeParts(h.t, h.store, h.keyset, b, row)
	fresh, err := h.control.Batches.Accept(h.t.Context(), b)
	if err == nil {
		err = h.control.Start(h.t.Context(), b, fresh)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

// feed runs ticks of a feed step until one ends it or feeds nothing.
func (h *setup) feed(id string) (fed int) {
	h.t.Helper()
	b, err := h.control.Batches.Load(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	f := &feed{Feeder: h.feeder, b: b, parts: PartsOf(h.store, h.keyset, b)}
	for range 100 {
		before := h.progress(id)
		n, delay, err := f.tick(h.t.Context())
		if err != nil {
			h.t.Fatalf("feed: %v", err)
		}
		fed += n
		after := h.progress(id)
		entered := before != nil && after != nil && before.Run != after.Run
		if delay != 0 || n == 0 && !entered {
			return fed
		}
	}
	return fed
}

func (h *setup) progress(id string) *Progress {
	h.t.Helper()
	p, err := h.control.Progress.Read(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

// wipe empties Redis, as if the server was replaced. asynq writes the names of its queues once in a process; its inspector, which
// the tests use, needs them.
func (h *setup) wipe() {
	h.t.Helper()
	err := h.redis.FlushDB(h.t.Context()).Err()
	if err == nil {
		err = h.redis.SAdd(h.t.Context(), "asynq:queues", tasks.Queue(tasks.Passport, tasks.Bulk), Queue).Err()
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// work delivers at most n tasks of the bulk queue and returns how many it delivered.
func (h *setup) work(n int) (delivered int) {
	h.t.Helper()
	queue := tasks.Queue(tasks.Passport, tasks.Bulk)
	list, err := h.inspector.ListPendingTasks(queue, asynq.PageSize(n))
	if errors.Is(err, asynq.ErrQueueNotFound) {
		return 0
	}
	if err != nil {
		h.t.Fatal(err)
	}
	for _, info := range list {
		p, err := tasks.DecodePayload(info.Payload)
		if err != nil {
			h.t.Fatal(err)
		}
		verdict := h.worker.Process(h.t.Context(), p)
		if verdict.Decision == worker.Final {
			err = h.inspector.DeleteTask(queue, info.ID)
		} else {
			err = h.inspector.ArchiveTask(queue, info.ID) // delayed; the test runs it later
		}
		if err != nil {
			h.t.Fatal(err)
		}
	}
	return len(list)
}

// finish feeds and works until the batch is done.
func (h *setup) finish(id string) *Status {
	h.t.Helper()
	for range 200 {
		h.feed(id)
		h.work(5000)
		s := h.status(id)
		if s.Done {
			return s
		}
	}
	h.t.Fatalf("batch %s did not end: %+v", id, h.status(id))
	return nil
}

func (h *setup) status(id string) *Status {
	h.t.Helper()
	s, _, err := h.control.Status(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// walk reads every row with its record.
func (h *setup) walk(id string) []*Row {
	h.t.Helper()
	b, err := h.control.Batches.Load(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	var rows []*Row
	err = b.Walk(h.t.Context(), PartsOf(h.store, h.keyset, b), h.store, h.client, func(r *Row) error {
		rows = append(rows, r)
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return rows
}

// vendor is a fake Cashfree.
type vendor struct {
	mu      sync.Mutex
	calls   map[string]int // by verification_id
	total   int
	answers map[string]cashfree.Class // by file number; Valid where missing
	dob     string                    // in all answers
}

func (v *vendor) VerifyPassport(_ context.Context, req cashfree.PassportRequest) *cashfree.Reply {
	v.mu.Lock()
	defer v.mu.Unlock()
	id, _, _ := strings.Cut(req.ProviderID, ".k")
	v.calls[id]++
	v.total++
	class, ok := v.answers[req.FileNumber.Reveal()]
	if !ok {
		class = cashfree.Valid
	}
	r := &cashfree.Reply{Class: class, HTTPStatus: 200, Body: []byte("{}"), ReferenceID: int64(v.total)}
	switch class {
	case cashfree.Valid:
		r.Passport = &cashfree.PassportAnswer{DOB: redact.NewPersonal(v.dob)}
	case cashfree.Rejected:
		r.HTTPStatus, r.Code = 422, "specimen_rejected"
	}
	return r
}

func (v *vendor) MaskAadhaar(context.Context, cashfree.MaskRequest) *cashfree.Reply { return nil }

func (v *vendor) FetchImage(context.Context, redact.Secret) (*cashfree.FetchedImage, error) {
	return nil, errors.New("not implemented")
}

func (v *vendor) answer(number string, class cashfree.Class) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answers[number] = class
}

// most is the highest number of calls for one id.
func (v *vendor) most() (most int) {
	for _, n := range v.calls {
		most = max(most, n)
	}
	return most
}

// openGate lets every call pass, and reports the rate of the test.
type openGate struct{ h *setup }

func (g openGate) Status(context.Context) ([]gate.KindStatus, []hold.Hold, error) {
	return []gate.KindStatus{{Kind: string(tasks.Passport), PerMinute: g.h.rate}}, nil, nil
}

func (openGate) Acquire(context.Context, gate.Call) (*gate.Permit, error)     { return &gate.Permit{}, nil }
func (openGate) Report(context.Context, *gate.Permit, gate.Outcome) error     { return nil }
func (openGate) RaiseHold(context.Context, hold.Hold) (first bool, err error) { return true, nil }
func (openGate) CountEnd(context.Context, hold.Hold, hold.End, int) (bad, of int, err error) {
	return 0, 0, nil
}

func (openGate) AddUnstored(context.Context, hold.Hold, int) (raised bool, err error) {
	return false, nil
}

func (openGate) DropUnstored(context.Context, hold.Hold, int) (lifted bool, err error) {
	return false, nil
}

func (openGate) Unstored(context.Context, string) ([]string, error) { return nil, nil }
func (openGate) OddAnswer(context.Context, string, string) (hold.Streak, error) {
	return hold.Streak{}, nil
}
func (openGate) GoodAnswer(context.Context, string) error { return nil }

// object reads an object of the records bucket.
func (h *setup) object(key string) string {
	h.t.Helper()
	found, err := h.store.Buckets().Records.Get(h.t.Context(), key)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(found.Body)
}
