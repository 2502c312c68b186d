package pauses

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/internal/rate"
	"github.com/kycq/kycq/internal/sleep"
	"github.com/kycq/kycq/internal/testenv"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fleet is one Redis and one store.
type fleet struct {
	t     *testing.T
	redis *redis.Client
	s3    *storagetest.Server
	mu    sync.Mutex
	owed  []string // events
	down  error    // no event can be owed
}

func (f *fleet) owe(_ context.Context, e storage.Event, _ []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down == nil {
		f.owed = append(f.owed, strings.TrimPrefix(e.Name, "fleet.")+" "+e.ID)
	}
	return f.down
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	return &fleet{t: t, redis: testenv.RedisClient(t), s3: storagetest.Start(t)}
}

// process is one process of the fleet: a worker or a command.
type process struct {
	*Pauses
	t    *testing.T
	gate *gate.Gate
}

func (f *fleet) process() *process {
	f.t.Helper()
	each := rate.Rate{Calls: 1000, Per: time.Second}
	g, err := gate.New(gate.Config{Redis: f.redis, Rates: map[string]rate.Rate{"aadhaar": each, "passport": each}})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(g.Close)
	return &process{
		t: f.t, gate: g,
		Pauses: &Pauses{Bucket: f.s3.Store(f.t).Buckets().Records, Holds: g.Set, Owe: f.owe},
	}
}

// worker is a process that has started.
func (f *fleet) worker() *process {
	f.t.Helper()
	p := f.process()
	p.restore()
	return p
}

// watch runs the watcher until the end of the test.
func (p *process) watch() {
	ctx, cancel := context.WithCancel(p.t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); p.Watch(ctx) }()
	p.t.Cleanup(func() { cancel(); <-ended })
}

func (p *process) restore() {
	p.t.Helper()
	if err := p.Restore(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) pause(kind string) {
	p.t.Helper()
	if first, err := p.Pause(p.t.Context(), hold.Hold{Kind: kind, Reason: "legal", By: "asha", Since: time.Now().UTC()}); err != nil || !first {
		p.t.Fatalf("pause: %v, %v", first, err)
	}
}

func (p *process) raise(h hold.Hold) {
	p.t.Helper()
	if first, err := p.gate.RaiseHold(p.t.Context(), h); err != nil || !first {
		p.t.Fatalf("raise: %v, %v", first, err)
	}
}

// resume resumes the holds of a cause.
func (p *process) resume(cause string) {
	p.t.Helper()
	_, err := p.Resume(p.t.Context(), func(all []hold.Hold) []hold.Hold {
		return slices.DeleteFunc(all, func(h hold.Hold) bool { return h.Cause != cause })
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// reason is why a kind makes no call; empty if it makes one, which is answered.
func (p *process) reason(kind string) gate.Reason {
	p.t.Helper()
	permit, err := p.gate.Acquire(p.t.Context(), gate.Call{Kind: kind, Lane: gate.Live, JobID: "job"})
	var closed *gate.ClosedError
	if errors.As(err, &closed) {
		return closed.Reason
	}
	if err == nil {
		err = p.gate.Report(p.t.Context(), permit, gate.Outcome{Kind: gate.Answered})
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return ""
}

func (p *process) want(aadhaar, passport gate.Reason) {
	p.t.Helper()
	for kind, want := range map[string]gate.Reason{"aadhaar": aadhaar, "passport": passport} {
		if got := p.reason(kind); got != want {
			p.t.Errorf("%s: %q, want %q", kind, got, want)
		}
	}
}

// causes lists the holds in Redis as cause:kind, and a "?" for those that are tested.
func (p *process) causes() string {
	p.t.Helper()
	all, err := p.gate.Holds(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	var names []string
	for _, h := range all {
		names = append(names, strings.TrimSuffix(h.Cause+":"+h.Kind, ":")+map[bool]string{true: "?"}[h.Probing])
	}
	return strings.Join(names, " ")
}

func (f *fleet) flush() {
	f.t.Helper()
	if err := f.redis.FlushDB(f.t.Context()).Err(); err != nil {
		f.t.Fatal(err)
	}
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); _ = sleep.For(t.Context(), 20*time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func TestNoSlotIsGrantedBeforeThePausesWereRead(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	w := f.process()
	w.want(gate.ReasonRestoring, gate.ReasonRestoring)
	w.restore()
	w.want("", "")
}

func TestAPauseSurvivesTheLossOfRedisData(t *testing.T) {
	t.Parallel()
	t.Run("with a worker", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t)
		w := f.worker()
		w.watch()
		f.process().pause("")
		w.want(gate.ReasonHeld, gate.ReasonHeld)
		f.flush()
		until(t, "the pause is back", func() bool {
			reason := w.reason("passport")
			if reason != gate.ReasonHeld && reason != gate.ReasonRestoring {
				t.Fatalf("a call through the pause: %q", reason)
			}
			return reason == gate.ReasonHeld
		})
		if w.causes() != "operator" {
			t.Errorf("holds: %s", w.causes())
		}
	})
	t.Run("without a worker", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t)
		f.process().pause("passport")
		f.flush()
		w := f.process()
		w.want(gate.ReasonRestoring, gate.ReasonRestoring)
		w.restore()
		w.want("", gate.ReasonHeld)
	})
	t.Run("resumed by a process that has not read it", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t)
		p := f.worker()
		p.pause("")
		f.flush()
		f.process().restore() // by another worker
		p.resume(hold.Operator)
		p.want("", "")
	})
}

// A replica that lacks the last writes is promoted, or Redis starts from an old snapshot: it has a revision, but no pause.
func TestAPauseSurvivesARedisThatCameBackWithOlderData(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	w := f.worker()
	old := f.redis.Get(t.Context(), hold.RevisionKey).Val()
	f.process().pause("")
	w.restore()
	f.flush()
	f.redis.Set(t.Context(), hold.RevisionKey, old, 0)
	w.want(gate.ReasonRestoring, gate.ReasonRestoring)
	w.restore()
	w.want(gate.ReasonHeld, gate.ReasonHeld)
}

// A replica that is promoted at once may lack a pause that this process has not read yet: only its name tells.
func TestAPauseSurvivesAFailoverToAReplicaThatLacksIt(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	w := f.worker()
	old := f.redis.Get(t.Context(), hold.RevisionKey).Val()
	f.process().pause("")
	f.flush()
	f.redis.Set(t.Context(), hold.RevisionKey, old, 0)
	w.want("", "")
	var asked atomic.Int64
	w.Server = func(context.Context) (string, error) {
		asked.Add(1)
		return "the replica", nil
	}
	w.watch()
	until(t, "the first look is over", func() bool { return asked.Load() >= 2 })
	w.want(gate.ReasonHeld, gate.ReasonHeld)
}

func TestNoSlotIsGrantedWhileRedisIsEmptyAndS3IsDown(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	w := f.worker()
	var log lockedBuffer
	w.Log = zerolog.New(&log)
	f.process().pause("")
	f.s3.Use(storagetest.Down)
	f.flush()
	w.watch()
	until(t, "the log says it", func() bool { return strings.Contains(log.String(), "cannot restore the operator's pauses") })
	w.want(gate.ReasonRestoring, gate.ReasonRestoring)
	f.s3.Use(nil)
	until(t, "the pause is back", func() bool { return w.reason("aadhaar") == gate.ReasonHeld })
	until(t, "the log says it", func() bool { return strings.Contains(log.String(), "those in S3 again") })
}

func TestOtherCausesNeitherEndNorHideAPause(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	w := f.worker()
	w.raise(hold.Hold{Cause: hold.Balance, Reason: "too low", Code: "insufficient_balance"})
	f.process().pause("")
	if got := w.causes(); got != "operator balance" {
		t.Errorf("holds: %s", got)
	}
	w.resume(hold.Balance)
	w.want(gate.ReasonHeld, gate.ReasonHeld)
	f.flush()
	w.restore()
	w.want(gate.ReasonHeld, gate.ReasonHeld)
	w.raise(hold.Hold{Cause: hold.IP})
	w.resume(hold.Operator)
	if got := w.causes(); got != "ip operator?" {
		t.Errorf("holds: %s", got)
	}
	w.restore() // keeps what is being tested
	w.want(gate.ReasonHeld, gate.ReasonHeld)
	w.resume(hold.IP)
	w.want("", "")
	if got := w.causes(); got != "" {
		t.Errorf("holds after an answered test call: %s", got)
	}
}

func TestAPauseOfOneKindLeavesTheOtherRunning(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	w := f.worker()
	w.pause("passport")
	w.want("", gate.ReasonHeld)
	w.pause("")
	w.want(gate.ReasonHeld, gate.ReasonHeld)
	w.resume(hold.Operator)
	w.want("", "")
}

func TestPausesOfTwoOperatorsAtOnceAreBothKept(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	var group sync.WaitGroup
	for _, kind := range []string{"", "aadhaar", "passport"} {
		p := f.process()
		group.Go(func() {
			if first, err := p.Pause(t.Context(), hold.Hold{Kind: kind}); err != nil || !first {
				t.Errorf("pause %s: %v, %v", kind, first, err)
			}
		})
	}
	group.Wait()
	w := f.worker()
	for _, want := range []string{"operator", "operator:aadhaar", "operator:passport"} {
		if !slices.Contains(strings.Fields(w.causes()), want) {
			t.Errorf("holds: %s", w.causes())
		}
	}
	if first, err := w.Pause(t.Context(), hold.Hold{Reason: "again"}); err != nil || first {
		t.Errorf("paused twice: %v, %v", first, err)
	}
}

func TestS3OverridesThePausesInRedis(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	w := f.worker()
	w.pause("aadhaar")
	w.raise(hold.Hold{Cause: hold.Operator, Kind: "passport"}) // in Redis only
	w.raise(hold.Hold{Cause: hold.Balance})
	if err := w.gate.ClearHold(t.Context(), hold.Operator, "aadhaar"); err != nil {
		t.Fatal(err)
	}
	w.restore()
	if got := w.causes(); got != "operator:aadhaar balance" {
		t.Errorf("holds: %s", got)
	}
}

// After holds.json was deleted, or an old version restored, Redis keeps the pause, and a new pause is obeyed.
func TestAPauseSurvivesTheLossOfHoldsJSON(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	w := f.worker()
	w.pause("passport")
	records := f.s3.Store(t).Buckets().Records
	if err := records.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if err := w.Restore(t.Context()); !errors.Is(err, hold.ErrOlder) {
		t.Errorf("restored what is older: %v", err)
	}
	w.want("", gate.ReasonHeld)
	w.pause("")
	w.want(gate.ReasonHeld, gate.ReasonHeld)
}

func TestHoldsJSONThatCannotBeUnderstoodOpensNothing(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"{", `{"version":9}`} {
		f := newFleet(t)
		w := f.process()
		if _, err := f.s3.Store(t).Buckets().Records.Create(t.Context(), key, []byte(body)); err != nil {
			t.Fatal(err)
		}
		if err := w.Restore(t.Context()); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", body, err)
		}
		w.want(gate.ReasonRestoring, gate.ReasonRestoring)
	}
}

func TestAPauseThatS3DoesNotTakeIsAnError(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	w := f.worker()
	f.s3.Use(storagetest.Down)
	if _, err := w.Pause(t.Context(), hold.Hold{}); !errors.Is(err, objects.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	w.want("", "")
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Each beginning and each end of a hold is owed to the webhook endpoints, by one process, also if the hold ends while no worker is alive.
func TestEachHoldIsAnnounced(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	one, other := f.worker(), f.worker()
	announce := func(p *process, want string) {
		t.Helper()
		holds, err := p.gate.Holds(t.Context())
		if err == nil {
			err = p.Announce(t.Context(), holds)
		}
		if got := strings.Join(f.owed, ", "); got != want || !errors.Is(err, f.down) {
			t.Errorf("%q, want %q; %v", got, want, err)
		}
		f.owed = nil
	}
	balance := hold.Hold{Cause: hold.Balance}
	clear := func(h hold.Hold) {
		t.Helper()
		if err := one.gate.ClearHold(t.Context(), h.Cause, h.Kind); err != nil {
			t.Fatal(err)
		}
	}
	announce(one, "")
	one.raise(balance)
	f.down = errors.New("S3 is down")
	announce(one, "")
	f.down = nil
	announce(one, "held balance")
	announce(one, "")
	announce(other, "")
	clear(balance)
	one.raise(balance) // another one
	announce(other, "held balance, resumed balance")
	announce(one, "")
	clear(balance)
	f.flush() // no worker is alive
	f.process().pause("passport")
	f.process().resume(hold.Operator)
	clear(hold.Hold{Cause: hold.Operator, Kind: "passport"})
	announce(f.worker(), "held operator, resumed balance, resumed operator")
	one.restore()
	one.pause("")
	f.flush() // Redis lacks the pause for a while
	announce(f.process(), "held operator")
	last := f.worker()
	announce(last, "")
	last.resume(hold.Operator)
	clear(hold.Hold{Cause: hold.Operator})
	announce(last, "resumed operator")
	f.process().pause("passport")
	f.process().resume(hold.Operator)
	clear(hold.Hold{Cause: hold.Operator, Kind: "passport"})
	last.restore() // as it does every 10 s
	announce(last, "held operator, resumed operator")
	announce(last, "")
}
