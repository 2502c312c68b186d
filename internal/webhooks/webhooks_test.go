package webhooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"

	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/testenv"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
	"github.com/kycq/kycq/tasks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// got is a message as a receiver saw it.
type got struct {
	id, body string
	header   http.Header
}

// receiver is an endpoint that answers with status.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	refuse string // messages with this text get 400
	got    []got
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{status: http.StatusNoContent}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, got{req.Header.Get("Webhook-Id"), string(body), req.Header})
		if r.refuse != "" && strings.Contains(string(body), r.refuse) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.WriteHeader(r.status)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// take returns and forgets what arrived.
func (r *receiver) take() []got {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.got
	r.got = nil
	return list
}

// fixture is a store with webhooks, a Redis, and endpoints.
type fixture struct {
	t         *testing.T
	s3        *storagetest.Server
	store     *storage.Store
	redis     *redis.Client
	endpoints []Endpoint
}

func newFixture(t *testing.T, names ...string) (*fixture, []*receiver) {
	t.Helper()
	server := storagetest.StartFake(t)
	server.Store(t) // makes the buckets
	cfg := server.Config()
	cfg.Webhooks = true
	store, err := storage.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, s3: server, store: store, redis: testenv.RedisClient(t)}
	var receivers []*receiver
	var subscribers []storage.Subscriber
	for _, name := range names {
		r := newReceiver(t)
		e := Endpoint{Name: name, URL: r.URL, AllowPrivate: true, secrets: [][]byte{bytes.Repeat([]byte("s"), 32)}}
		f.endpoints, receivers, subscribers = append(f.endpoints, e), append(receivers, r), append(subscribers, e.subscriber())
	}
	if err := store.SetSubscribers(t.Context(), subscribers); err != nil {
		t.Fatal(err)
	}
	return f, receivers
}

// deliver runs a round of a server that has just started, for each endpoint.
func (f *fixture) deliver() {
	f.t.Helper()
	d := f.server()
	for _, e := range f.endpoints {
		d.round(f.t, e)
	}
}

type testServer struct{ *Deliverer }

func (f *fixture) server() testServer {
	client := NewClient("test", func(string, string, syscall.RawConn) error { return errors.New("refused") })
	f.t.Cleanup(func() {
		for _, c := range []*http.Client{client.public, client.private} {
			c.Transport.(*agent).next.(*http.Transport).CloseIdleConnections()
		}
	})
	return testServer{&Deliverer{
		Store: f.store, Redis: f.redis, Client: client, Log: zerolog.Nop(), lanes: map[string]*lane{},
		Job: func(r *storage.Record) any {
			return map[string]any{"id": r.VerificationID, "run": r.Run, "state": r.State, "erased": r.Erased != nil}
		},
	}}
}

// round delivers what is due. The leadership of a server that was killed has ended.
func (d testServer) round(t *testing.T, e Endpoint) {
	t.Helper()
	l := d.lane(e)
	l.Endpoint = e
	if err := l.round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.leader.Resign(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func job(id string) *storage.Record {
	return storage.NewRecord(tasks.JobSpec{Kind: tasks.Passport, Lane: tasks.Live, VerificationID: id, Run: 1, Fingerprint: "f", SealedInput: "x"})
}

// finish makes a record final, as the worker does.
func finish(rec *storage.Record, at time.Time) {
	rec.State, rec.CompletedAt, rec.Ending = storage.StateValid, at, true
}

func (f *fixture) create(rec *storage.Record) storage.Version {
	f.t.Helper()
	v, err := f.store.CreateRecord(f.t.Context(), rec)
	if err != nil {
		f.t.Fatal(err)
	}
	return v
}

func (f *fixture) swap(rec *storage.Record, v storage.Version) storage.Version {
	f.t.Helper()
	v, err := f.store.SwapRecord(f.t.Context(), rec, v)
	if err != nil {
		f.t.Fatal(err)
	}
	return v
}

func (f *fixture) owed(endpoint string) (events []storage.Event) {
	f.t.Helper()
	for e, err := range f.store.Owed(f.t.Context(), endpoint) {
		if err != nil {
			f.t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

var ended = time.Date(2026, 11, 1, 12, 0, 0, 5e6, time.UTC)

func TestTheLibraryOfTheStandardVerifiesEachSignature(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	older, newer := NewSecret(), NewSecret()
	if err := os.WriteFile(filepath.Join(dir, "s"), []byte(newer+"\n"+older+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := Parse([]byte("- {name: app1, url: 'https://example.com/x', secret_file: s, events: [job.finished]}"), dir)
	if err != nil {
		t.Fatal(err)
	}
	header, body := http.Header{}, []byte(`{"type":"job.finished"}`)
	list[0].sign(header, "msg_1", time.Now(), body)
	for _, secret := range []string{older, newer} {
		hook, err := standard.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := hook.Verify(body, header); err != nil {
			t.Errorf("not verified: %v", err)
		}
		if hook.Verify([]byte(`{}`), header) == nil {
			t.Error("another body is verified")
		}
	}
}

// Whatever is killed or wiped between two steps, the event arrives, and its repetitions have the same id and body.
func TestAnEventArrivesAfterACrashAtEachStep(t *testing.T) {
	t.Parallel()
	f, receivers := newFixture(t, "app1")
	ctx := t.Context()

	rec := job("P1")
	rec.State = storage.StateSent
	v := f.create(rec)
	stillOpen := rec.Clone()
	finish(rec, ended)
	owed := storage.EventsOf(rec)[0]

	// The worker dies between the object and the record.
	if err := f.store.Owe(ctx, owed, nil); err != nil {
		t.Fatal(err)
	}
	f.deliver()
	if n := receivers[0].take(); len(n) != 0 || len(f.owed("app1")) != 1 {
		t.Fatalf("delivered %v before the record is final, owed %v", n, f.owed("app1"))
	}
	// Another one ends the run at another time, and dies before the tail.
	finish(stillOpen, ended.Add(time.Second))
	f.swap(stillOpen, v)
	if err := f.redis.FlushAll(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	f.deliver()
	first := receivers[0].take()
	f.s3.Advance(2 * overtakenAfter)
	f.deliver() // the event of the first worker did not happen
	if len(first) != 1 || len(f.owed("app1")) != 0 {
		t.Fatalf("got %v, owed %v; want one message, and nothing owed", first, f.owed("app1"))
	}
	// The server had died between the answer and the deletion of the object.
	if err := f.store.OweTo(ctx, "app1", storage.EventsOf(stillOpen)[0], nil); err != nil {
		t.Fatal(err)
	}
	f.deliver()
	if again := receivers[0].take(); len(again) != 1 || again[0].id != first[0].id || again[0].body != first[0].body {
		t.Errorf("repeated as %v, first %v", again, first)
	}
	want := `{"type":"job.finished","timestamp":"2026-11-01T12:00:01.005Z","data":{"erased":false,"id":"P1","run":1,"state":"valid"}}`
	if first[0].body != want {
		t.Errorf("body %s, want %s", first[0].body, want)
	}
}

// A late answer, or an approved review, ends a run that has ended already. A server may look between the object and the record.
func TestARunThatEndsAgainIsDelivered(t *testing.T) {
	t.Parallel()
	f, receivers := newFixture(t, "app1")
	rec := job("P1")
	finish(rec, ended)
	v := f.create(rec)
	f.deliver()
	receivers[0].take()
	finish(rec, ended.Add(time.Hour))
	again := storage.EventsOf(rec)[0]
	if err := f.store.Owe(t.Context(), again, nil); err != nil {
		t.Fatal(err)
	}
	f.s3.Advance(2 * overtakenAfter)
	f.deliver()
	if n := receivers[0].take(); len(n) != 0 || len(f.owed("app1")) != 1 {
		t.Fatalf("delivered %v before the write, owed %v", n, f.owed("app1"))
	}
	rec.Ending = false // the object is there
	f.swap(rec, v)
	f.deliver()
	if n := receivers[0].take(); len(n) != 1 || n[0].id != messageID(again.Key("app1")) {
		t.Errorf("got %v", n)
	}
	never := again
	never.At = never.At.Add(time.Hour)
	if err := f.store.Owe(t.Context(), never, nil); err != nil {
		t.Fatal(err)
	}
	f.s3.Advance(writePending)
	f.deliver()
	if n := receivers[0].take(); len(n) != 0 || len(f.owed("app1")) != 0 {
		t.Errorf("an event that did not happen: got %v, owed %v", n, f.owed("app1"))
	}
}

func TestAnEventThatIsAlwaysRefusedDelaysNoOtherAndIsGivenUp(t *testing.T) {
	t.Parallel()
	f, receivers := newFixture(t, "app1")
	receivers[0].refuse = `"bad"`
	add := func(id string, at time.Time) storage.Event {
		rec := job(id)
		finish(rec, at)
		e := storage.EventsOf(rec)[0]
		f.create(rec)
		return e
	}
	bad := add("bad", ended).Key("app1")
	add("good1", ended.Add(time.Second))
	server := f.server()
	server.round(t, f.endpoints[0])
	l := server.lane(f.endpoints[0])
	tried := l.tries[bad]
	if tried.n != 1 || tried.recoveries != 1 {
		t.Fatalf("%+v is known of its tries", tried)
	}
	tried.first, tried.next = time.Now().Add(-giveUpAfter-time.Hour), time.Time{} // 3 days later
	l.tries[bad] = tried
	receivers[0].take()
	add("good2", ended.Add(time.Minute))
	failing := redisx.EndpointState{Failures: 1, Since: time.Now(), Last: "it answered 400"}
	if err := redisx.SetEndpoint(t.Context(), f.redis, "app1", failing); err != nil {
		t.Fatal(err)
	}
	server.round(t, f.endpoints[0])
	if got := receivers[0].take(); len(got) != 2 || !strings.Contains(got[0].body, `"good2"`) {
		t.Errorf("got %v, want good2 first", got)
	}
	for _, e := range f.owed("app1") {
		if e.Key("app1") == bad {
			t.Error("it is not given up after 3 days")
		}
	}
}

func TestARoundListsALimitedNumberOfEvents(t *testing.T) {
	t.Parallel()
	f, _ := newFixture(t, "app1")
	for _, id := range []string{"P1", "P2", "P3"} {
		rec := job(id)
		finish(rec, ended)
		f.create(rec)
	}
	l := f.server().lane(f.endpoints[0])
	l.Endpoint = f.endpoints[0]
	l.tries["beyond"] = try{n: 1}
	if due, err := l.list(t.Context(), time.Now(), 2, false); err != nil || len(due) != 2 || len(l.tries) != 1 {
		t.Errorf("%v, %v, tries %v", due, err, l.tries)
	}
	if due, err := l.list(t.Context(), time.Now(), maxDue, false); err != nil || len(due) != 3 || len(l.tries) != 0 {
		t.Errorf("%v, %v, tries %v", due, err, l.tries)
	}
}

func TestOnlyTheWriteThatEndsARunOwesAnEvent(t *testing.T) {
	t.Parallel()
	f, _ := newFixture(t, "app1")
	rec := job("P1")
	rec.State = storage.StateSent
	v := f.create(rec)
	if n := len(f.owed("app1")); n != 0 {
		t.Fatalf("%d events owed for an open record", n)
	}
	finish(rec, ended)
	v = f.swap(rec, v)
	if err := f.store.Delivered(t.Context(), "app1", storage.EventsOf(rec)[0]); err != nil {
		t.Fatal(err)
	}
	rec.UploadDeletedAt = ended // the tail
	f.swap(rec, v)
	if n := f.owed("app1"); len(n) != 0 {
		t.Errorf("the tail owes %v", n)
	}
}

// Jobs end while webhooks.json is damaged, and the endpoints that want their events receive them once a server has written it again.
func TestADamagedListOfEndpointsStopsNoJobAndLosesNoEvent(t *testing.T) {
	t.Parallel()
	f, receivers := newFixture(t, "app1", "app2")
	f.endpoints[1].Events = []string{storage.EventFleetHeld}
	if err := f.store.Buckets().Records.Put(t.Context(), "webhooks.json", []byte(`[{"name":`), "application/json"); err != nil {
		t.Fatal(err)
	}
	rec := job("P1")
	v := f.create(rec)
	finish(rec, ended)
	f.swap(rec, v)
	held := storage.Event{Name: storage.EventFleetHeld, Kind: storage.AllKinds, ID: "balance", Run: 1, At: ended}
	if err := f.store.Owe(t.Context(), held, []byte(`{"cause":"balance"}`)); err != nil {
		t.Fatal(err)
	}
	d := f.server()
	d.Load = func() ([]Endpoint, error) { return f.endpoints, nil }
	d.refresh(t.Context())
	f.deliver()
	if one, two := receivers[0].take(), receivers[1].take(); len(one) != 2 || len(two) != 1 {
		t.Errorf("%d and %d events, want 2 and 1", len(one), len(two))
	}
	if list, err := f.store.Subscribers(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("%v, %v", list, err)
	}
}

// During an update, a server whose file has not changed leaves the list of one with a newer file as it is.
func TestAServerWithAnOlderFileLeavesTheListOfANewerOne(t *testing.T) {
	t.Parallel()
	f, _ := newFixture(t, "app1", "app2")
	older, newer := f.server(), f.server()
	older.Load = func() ([]Endpoint, error) { return f.endpoints[:1], nil }
	newer.Load = func() ([]Endpoint, error) { return f.endpoints, nil }
	older.refresh(t.Context())
	newer.refresh(t.Context())
	for _, readable := range []bool{true, false} {
		older.published = time.Now().Add(-time.Hour)
		f.s3.Use(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if !readable && r.Method == http.MethodGet {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
		})
		older.refresh(t.Context())
	}
	f.s3.Use(nil)
	if list, err := f.store.Subscribers(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestAnEventOfAnEarlierRunAndOfErasedDataIsDelivered(t *testing.T) {
	t.Parallel()
	f, receivers := newFixture(t, "app1")
	rec := job("P1")
	finish(rec, ended)
	v := f.create(rec)
	next := rec.JobSpec
	next.Run = 2
	f.swap(rec.NextRun(next), v)
	erased := job("P2")
	finish(erased, ended)
	v = f.create(erased)
	erased.Erased = &storage.Erasure{At: ended, By: "x", Reason: "y"}
	f.swap(erased, v)
	f.deliver()
	var bodies []string
	for _, g := range receivers[0].take() {
		bodies = append(bodies, g.body[strings.Index(g.body, `"data"`):])
	}
	slices.Sort(bodies)
	want := []string{
		`"data":{"erased":false,"id":"P1","run":1,"state":"valid"}}`,
		`"data":{"erased":true,"id":"P2","run":1,"state":"valid"}}`,
	}
	if !slices.Equal(bodies, want) {
		t.Errorf("got %q, want %q", bodies, want)
	}
}

func TestAnEndpointThatIsDownDelaysNoOther(t *testing.T) {
	t.Parallel()
	f, receivers := newFixture(t, "down", "up")
	receivers[0].answer(http.StatusServiceUnavailable)
	for _, id := range []string{"P1", "P2", "P3"} {
		rec := job(id)
		finish(rec, ended)
		f.create(rec)
	}
	f.deliver()
	if n := len(receivers[1].take()); n != 3 {
		t.Errorf("the other endpoint got %d of 3", n)
	}
	states, err := redisx.Endpoints(t.Context(), f.redis)
	if s := states["down"]; err != nil || s.Failures == 0 || s.Next.IsZero() || s.Stopped != "" || s.Last != "it answered 503" {
		t.Errorf("state %+v, %v", s, err)
	}
	receivers[0].take()
	paused := states["down"]
	paused.Next = time.Now().Add(time.Hour)
	if err := redisx.SetEndpoint(t.Context(), f.redis, "down", paused); err != nil {
		t.Fatal(err)
	}
	f.deliver()
	if n := receivers[0].take(); len(n) != 0 {
		t.Errorf("tried during the pause: %v", n)
	}
	receivers[0].answer(http.StatusOK)
	if err := f.redis.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	f.deliver()
	if n := len(receivers[0].take()); n != 3 || len(f.owed("down")) != 0 {
		t.Errorf("got %d of 3, owed %v", n, f.owed("down"))
	}
}

func TestAnEndpointThatAnswersGoneIsStoppedUntilATestSucceeds(t *testing.T) {
	t.Parallel()
	f, receivers := newFixture(t, "app1")
	receivers[0].answer(http.StatusGone)
	rec := job("P1")
	finish(rec, ended)
	f.create(rec)
	server := f.server() // one that goes on running
	server.round(t, f.endpoints[0])
	states, _ := redisx.Endpoints(t.Context(), f.redis)
	if states["app1"].Stopped == "" {
		t.Fatalf("state %+v, want stopped", states["app1"])
	}
	receivers[0].answer(http.StatusOK)
	receivers[0].take()
	server.round(t, f.endpoints[0])
	if n := receivers[0].take(); len(n) != 0 {
		t.Fatalf("a stopped endpoint got %v", n)
	}
	if err := server.Client.Test(t.Context(), f.endpoints[0], time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := redisx.SetEndpoint(t.Context(), f.redis, "app1", redisx.EndpointState{}); err != nil {
		t.Fatal(err)
	}
	server.round(t, f.endpoints[0])
	if n := receivers[0].take(); len(n) != 2 { // the test, and the event
		t.Errorf("got %v", n)
	}
	tries, err := redisx.Deliveries(t.Context(), f.redis, "app1")
	if err != nil || len(tries) != 2 || tries[0].Result != "ok" || tries[1].Result == "ok" || tries[0].ID != "P1" {
		t.Errorf("tries %+v, %v", tries, err)
	}
}

func TestAFailingEventAndEndpointAreGivenUpInTime(t *testing.T) {
	t.Parallel()
	f, _ := newFixture(t, "app1")
	l := f.server().lane(f.endpoints[0])
	l.Endpoint = f.endpoints[0]
	e := storage.EventsOf(job("P1"))[0]
	long := time.Now().Add(-giveUpAfter - time.Hour)
	state := l.note(t.Context(), e, result{failure: "x"}, redisx.EndpointState{Failures: 9, Since: long})
	if state.Stopped == "" {
		t.Error("an endpoint that has failed for 3 days is not stopped")
	}
	if err := f.store.OweTo(t.Context(), "app1", e, nil); err != nil {
		t.Fatal(err)
	}
	l.tries[e.Key("app1")] = try{first: long, n: 40}
	state = l.note(t.Context(), e, result{failure: "x"}, redisx.EndpointState{})
	if n := f.owed("app1"); len(n) != 0 || state.Stopped != "" {
		t.Errorf("an event that alone fails is owed still: %v, %+v", n, state)
	}
	if first, last := backoff(1, maxBackoff), backoff(100, maxBackoff); first != 5*time.Second || last != 6*time.Hour {
		t.Errorf("backoff from %s to %s", first, last)
	}
}

func TestEndpointsReceiveWhatTheyAskFor(t *testing.T) {
	t.Parallel()
	f, _ := newFixture(t)
	err := f.store.SetSubscribers(t.Context(), []storage.Subscriber{
		{Name: "all"}, {Name: "cards", Kinds: []string{"aadhaar"}}, {Name: "fleet", Events: []string{storage.EventFleetHeld}, Kinds: []string{"aadhaar"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	rec := job("P1")
	finish(rec, ended)
	f.create(rec)
	held := storage.Event{Name: storage.EventFleetHeld, Kind: storage.AllKinds, ID: "balance", Run: 1, At: ended}
	if err := f.store.Owe(t.Context(), held, []byte(`{"cause":"balance"}`)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"all": 2, "cards": 1, "fleet": 1} {
		if got := f.owed(name); len(got) != want {
			t.Errorf("%s is owed %v", name, got)
		}
	}
	body, err := f.server().body(t.Context(), "fleet", held)
	if want := `{"type":"fleet.held","timestamp":"2026-11-01T12:00:00.005Z","data":{"cause":"balance"}}`; err != nil || string(body) != want {
		t.Errorf("%s, %v", body, err)
	}
}

func TestResendRepeatsWithTheSameIDs(t *testing.T) {
	t.Parallel()
	f, receivers := newFixture(t, "app1")
	for id, at := range map[string]time.Time{"new": time.Now().UTC().Truncate(time.Millisecond), "old": ended.AddDate(-1, 0, 0)} {
		rec := job(id)
		finish(rec, at)
		f.create(rec)
	}
	f.deliver()
	ids := map[string]bool{}
	for _, g := range receivers[0].take() {
		ids[g.id] = true
	}
	n, err := Resend(t.Context(), f.store, f.endpoints, time.Hour)
	if err != nil || n != 1 {
		t.Fatalf("%d events, %v", n, err)
	}
	f.deliver()
	if again := receivers[0].take(); len(again) != 1 || !ids[again[0].id] || !strings.Contains(again[0].body, `"new"`) {
		t.Errorf("repeated %v", again)
	}
}

func TestPrivateAddressesAreRefusedUnlessAllowed(t *testing.T) {
	t.Parallel()
	f, receivers := newFixture(t, "app1")
	e := f.endpoints[0]
	e.AllowPrivate = false
	err := f.server().Client.Test(context.Background(), e, time.Now())
	if err == nil || !strings.Contains(err.Error(), "not public") || len(receivers[0].take()) != 0 {
		t.Errorf("%v", err)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	f, receivers := newFixture(t, "app1", "elsewhere")
	redirect := httptest.NewServer(http.RedirectHandler(receivers[1].URL, http.StatusTemporaryRedirect))
	t.Cleanup(redirect.Close)
	e := f.endpoints[0]
	e.URL = redirect.URL
	if err := f.server().Client.Test(t.Context(), e, time.Now()); err == nil || len(receivers[1].take()) != 0 {
		t.Errorf("%v", err)
	}
}

func TestBadFilesOfEndpointsAreRefusedWithoutQuotingThem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "good"), []byte(NewSecret()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bad"), []byte("whsec_SPECIMEN"), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"{}":                          "want a YAML list",
		"- {nam: SPECIMEN}":           "want a YAML list",
		"- {url: 'https://SPECIMEN'}": "name",
		"- {name: a, url: 'ftp://SPECIMEN', secret_file: good}":                                            "url",
		"- {name: a, url: 'http://SPECIMEN', secret_file: good}":                                           "https",
		"- {name: a, url: 'https://u:SPECIMEN@h', secret_file: good}":                                      "without a user",
		"- {name: a, url: 'https://h'}":                                                                    "secret_file",
		"- {name: a, url: 'https://h', secret_file: bad}":                                                  "secret_file",
		"- {name: a, url: 'https://h', secret_file: good, events: [SPECIMEN]}":                             "events",
		"- {name: a, url: 'https://h', secret_file: good, kinds: [SPECIMEN]}":                              "kinds",
		"[{name: a, url: 'https://h', secret_file: good}, {name: a, url: 'https://h', secret_file: good}]": "twice",
	} {
		_, err := Parse([]byte(text), dir)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "whsec") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if list, err := Parse(nil, dir); err != nil || len(list) != 0 {
		t.Errorf("an empty file: %v, %v", list, err)
	}
	body, err := json.Marshal(storage.Subscriber{Name: "a"})
	if err != nil || string(body) != `{"name":"a"}` {
		t.Errorf("%s, %v", body, err)
	}
}
