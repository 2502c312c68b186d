package faults

import (
	"net"
	"os/exec"
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/redact"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/testenv"
)

// redisServer is a Redis of the scenario's own, which it may kill, fill and wipe. It writes an append-only file, as in
// production.
type redisServer struct {
	t       testing.TB
	dir     string
	addr    string
	process *process
	client  redis.UniversalClient // the test's own way, past any proxy
}

func startRedis(t testing.TB) *redisServer {
	t.Helper()
	testenv.Redis(t) // skips where there is no real Redis, or fails where one is required
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatalf("this scenario kills a Redis of its own: %v", err)
	}
	s := &redisServer{t: t, dir: t.TempDir(), addr: freeAddress(t)}
	s.client = openRedis(t, "redis://"+s.addr+"/0")
	s.start()
	return s
}

func (s *redisServer) start() {
	s.t.Helper()
	_, port, err := net.SplitHostPort(s.addr)
	check(s.t, err)
	s.process = launch(s.t, s.dir, "redis-server", nil, nil, "--bind", "127.0.0.1", "--port", port, "--dir", s.dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction")
	until(s.t, "Redis answers", func() bool {
		if !s.process.running() {
			s.t.Fatalf("redis-server has ended: %s", s.process.output())
		}
		return s.client.Ping(s.t.Context()).Err() == nil
	})
}

func openRedis(t testing.TB, url string) redis.UniversalClient {
	t.Helper()
	client, err := redisx.Open(redact.NewSecret(url))
	check(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// freeAddress is a loopback port that nobody uses. Ports are below the range from which the system picks by itself, so
// that no connection of another scenario takes it meanwhile.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 200 {
		addr := "127.0.0.1:" + strconv.Itoa(12000+randomN(8000))
		l, err := net.Listen("tcp", addr)
		if err == nil {
			check(t, l.Close())
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}
