package gate

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.uber.org/goleak"

	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/rate"
)

func TestMain(m *testing.M) {
	redis.SetLogger(silent{}) // it reports every connection that a test cuts
	goleak.VerifyTestMain(m)
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// fleet is a Redis inside a synctest bubble, with its clock, and the processes that use it. Its connections are pipes,
// which do not keep fake time from passing.
type fleet struct {
	t    *testing.T
	mini *miniredis.Miniredis
	srv  *server.Server

	mu     sync.Mutex
	down   bool
	conns  map[net.Conn]bool
	frozen atomic.Bool
}

// inFakeTime runs a test in a bubble with a fleet of its own.
func inFakeTime(t *testing.T, test func(t *testing.T, f *fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		mini := miniredis.NewMiniRedis()
		if err := mini.Start(); err != nil {
			t.Fatal(err)
		}
		srv := mini.Server()
		srv.Close() // the listener would keep fake time from passing
		f := &fleet{t: t, mini: mini, srv: srv, conns: map[net.Conn]bool{}}
		test(t, f)
	})
}

func (f *fleet) dial(context.Context, string, string) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return nil, os.ErrDeadlineExceeded
	}
	ours, theirs := net.Pipe()
	f.srv.ServeConn(theirs)
	f.conns[ours] = true
	return &conn{ours, &f.frozen}, nil
}

// conn swallows what is written while its fleet's Redis is frozen.
type conn struct {
	net.Conn
	frozen *atomic.Bool
}

func (c *conn) Write(b []byte) (int, error) {
	if c.frozen.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// freeze makes Redis silent from now on, its connections open.
func (f *fleet) freeze() { f.frozen.Store(true) }

// cut breaks every connection and refuses new ones until restore.
func (f *fleet) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = true
	for c := range f.conns {
		_ = c.Close()
	}
	clear(f.conns)
}

func (f *fleet) restore() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = false
}

func (f *fleet) client() *redis.Client {
	c := redis.NewClient(quiet(&redis.Options{Dialer: f.dial}))
	f.t.Cleanup(func() { _ = c.Close() })
	return c
}

// quiet sets what the tests' clients have in common: no retries, no lookups, nothing but what the gate sends.
func quiet(o *redis.Options) *redis.Options {
	o.Addr, o.PoolSize, o.MaxRetries, o.DialerRetries = "127.0.0.1:1", 100, -1, 1
	o.ContextTimeoutEnabled, o.DisableIdentity = true, true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return o
}

// process returns the gate of a new process.
func (f *fleet) process(rates map[string]rate.Rate, change ...func(*Config)) *Gate {
	f.t.Helper()
	cfg := Config{Redis: f.client(), Rates: rates}
	for _, c := range change {
		c(&cfg)
	}
	g, err := New(cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(g.Close)
	restore(f.t, g)
	return g
}

// restore restores these pauses, as the watcher of internal/pauses does. The revision is that of the pauses' number.
func restore(t testing.TB, g *Gate, paused ...hold.Hold) {
	t.Helper()
	load := func(context.Context) (hold.Pauses, error) {
		return hold.Pauses{Revision: int64(len(paused)), Holds: paused}, nil
	}
	if err := g.Restore(context.Background(), load); err != nil {
		t.Fatal(err)
	}
}

var hundred = map[string]rate.Rate{"aadhaar": {Calls: 100, Per: time.Minute}}

// vendor records when calls arrive, in fake time.
type vendor struct {
	mu sync.Mutex
	at []time.Time
}

func (v *vendor) call() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.at = append(v.at, time.Now())
}

func (v *vendor) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.at)
}

// between counts the calls in [from, to).
func (v *vendor) between(from, to time.Time) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := 0
	for _, at := range v.at {
		if !at.Before(from) && at.Before(to) {
			n++
		}
	}
	return n
}

// most is the largest number of calls in any stretch of that length; where it stays within the limit, no fixed window at
// any phase and no sliding window sees more.
func (v *vendor) most(per time.Duration) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	most, first := 0, 0
	for i := range v.at {
		for v.at[i].Sub(v.at[first]) >= per {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// closest is the smallest distance of two calls.
func (v *vendor) closest() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	closest := time.Duration(1<<63 - 1)
	for i := 1; i < len(v.at); i++ {
		closest = min(closest, v.at[i].Sub(v.at[i-1]))
	}
	return closest
}

// backlog keeps so many calls of a kind and lane waiting at a gate until ctx ends. latency is the vendor's.
func backlog(ctx context.Context, wg *sync.WaitGroup, g *Gate, kind, lane string, waiting int, v *vendor, latency time.Duration) {
	for range waiting {
		wg.Go(func() {
			for ctx.Err() == nil {
				p, err := g.Acquire(ctx, Call{Kind: kind, Lane: lane, JobID: rand.Text()})
				if err != nil {
					pause(ctx, time.Second)
					continue
				}
				v.call()
				pause(ctx, latency)
				_ = g.Report(ctx, p, Outcome{Kind: Answered})
			}
		})
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// acquire fails the test without a permit.
func acquire(t *testing.T, g *Gate, lane, job string) *Permit {
	t.Helper()
	p, err := g.Acquire(t.Context(), Call{Kind: "aadhaar", Lane: lane, JobID: job})
	if err != nil {
		t.Fatalf("acquire for %s: %v", job, err)
	}
	return p
}

// report fails the test on an error.
func report(t *testing.T, g *Gate, p *Permit, o Outcome) {
	t.Helper()
	if err := g.Report(t.Context(), p, o); err != nil {
		t.Fatalf("report %s: %v", o.Kind, err)
	}
}

// refused fails the test unless the gate is closed for that reason.
func refused(t *testing.T, g *Gate, job string, reason Reason) ClosedError {
	t.Helper()
	p, err := g.Acquire(t.Context(), Call{Kind: "aadhaar", Lane: Bulk, JobID: job})
	var closed *ClosedError
	if !errors.As(err, &closed) || closed.Reason != reason {
		t.Fatalf("acquire for %s: %v, %v; want a gate closed because of %s", job, p, err, reason)
	}
	if closed.RetryAfter <= 0 {
		t.Fatalf("closed without a time to try again: %+v", closed)
	}
	return *closed
}

// counter counts the commands that a client sends.
type counter struct{ n atomic.Int64 }

func (c *counter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmd)
	}
}

func (c *counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.n.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}

// number reads a field of the kind's hash.
func (f *fleet) number(field string) int64 {
	n, _ := strconv.ParseInt(f.mini.HGet(kindKey("aadhaar"), field), 10, 64)
	return n
}
