package gate

import (
	"context"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fleet is a Redis that lives inside a synctest bubble, scripts, clock and all, and processes that use it. Its
// connections are pipes, which fake time understands.
type fleet struct {
	t    *testing.T
	mini *miniredis.Miniredis
	srv  *server.Server

	mu    sync.Mutex
	down  bool
	conns map[net.Conn]bool
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
	return ours, nil
}

// cut breaks every connection and refuses new ones until mend.
func (f *fleet) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = true
	for c := range f.conns {
		_ = c.Close()
	}
	clear(f.conns)
}

func (f *fleet) mend() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = false
}

func (f *fleet) client() *redis.Client {
	c := redis.NewClient(&redis.Options{
		Dialer: f.dial, ContextTimeoutEnabled: true, PoolSize: 100, MaxRetries: -1, DisableIdentity: true, Protocol: 2,
	})
	f.t.Cleanup(func() { _ = c.Close() })
	return c
}

// process starts a gate as a process of its own would have it.
func (f *fleet) process(rates map[string]Rate, change ...func(*Config)) *Gate {
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
	return g
}

var hundred = map[string]Rate{"aadhaar": {Calls: 100, Per: time.Minute}}
