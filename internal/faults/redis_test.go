package faults

import (
	"net"
	"os/exec"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/redact"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/testenv"
)

// redisServer is a Redis of the scenario's own that it may kill, fill and flush. It has an append-only file, as in production.
type redisServer struct {
	t       testing.TB
	dir     string
	addr    string
	process *process
	client  redis.UniversalClient // without a proxy
}

func startRedis(t testing.TB) *redisServer {
	t.Helper()
	testenv.Redis(t) // skips the test without a real Redis, or fails if one is required
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatalf("this scenario needs a Redis of its own: %v", err)
	}
	s := &redisServer{t: t, dir: t.TempDir(), addr: testenv.FreeAddress(t)}
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
	until(s.t, "Redis is ready", func() bool {
		if !s.process.running() {
			s.t.Fatalf("redis-server has exited: %s", s.process.output())
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
