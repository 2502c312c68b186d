package faults

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// start starts Redis from its append-only file. Additional arguments override the configuration.
func (s *redisServer) start(args ...string) {
	s.t.Helper()
	_, port, err := net.SplitHostPort(s.addr)
	check(s.t, err)
	s.process = launch(s.t, s.dir, "redis-server", nil, nil, append([]string{
		"--bind", "127.0.0.1", "--port", port, "--dir", s.dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction",
	}, args...)...)
	until(s.t, "Redis is ready", func() bool {
		if !s.process.running() {
			s.t.Fatalf("redis-server has exited: %s", s.process.output())
		}
		return s.client.Ping(s.t.Context()).Err() == nil
	})
}

// snapshot returns an RDB copy of the data.
func (s *redisServer) snapshot() []byte {
	s.t.Helper()
	check(s.t, s.client.Save(s.t.Context()).Err())
	rdb, err := os.ReadFile(filepath.Join(s.dir, "dump.rdb"))
	check(s.t, err)
	return rdb
}

// goBack kills Redis and restarts it from a snapshot.
func (s *redisServer) goBack(rdb []byte) {
	s.t.Helper()
	s.process.kill()
	check(s.t, os.WriteFile(filepath.Join(s.dir, "dump.rdb"), rdb, 0o600))
	s.start("--appendonly", "no")
}

// startReplica starts a Redis that replicates the one at an address, and waits until it has its data.
func startReplica(t testing.TB, of string) *redisServer {
	t.Helper()
	s := startRedis(t)
	host, port, err := net.SplitHostPort(of)
	check(t, err)
	check(t, s.client.Do(t.Context(), "REPLICAOF", host, port).Err())
	until(t, "the replica is in sync", func() bool {
		return strings.Contains(s.client.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	return s
}

func openRedis(t testing.TB, url string) redis.UniversalClient {
	t.Helper()
	client, err := redisx.Open(redact.NewSecret(url))
	check(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}
