package redisx_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2/server"

	"github.com/kycq/kycq/internal/access"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/testenv"
)

// info is a server that supports only PING and INFO.
func info(t *testing.T, sections map[string]string) string {
	t.Helper()
	srv, err := server.NewServer("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	for name, fn := range map[string]server.Cmd{
		"PING": func(c *server.Peer, _ string, _ []string) { c.WriteInline("PONG") },
		"INFO": func(c *server.Peer, _ string, args []string) {
			text, ok := sections[args[0]]
			if !ok {
				c.WriteError("NOPERM this user has no permissions to run the 'info' command")
				return
			}
			c.WriteBulk(strings.ReplaceAll(text, " ", "\r\n"))
		},
	} {
		if err := srv.Register(name, fn); err != nil {
			t.Fatal(err)
		}
	}
	return "redis://" + srv.Addr().String()
}

func with(changed map[string]string) map[string]string {
	sections := map[string]string{
		"server": "redis_version:7.2.4 redis_mode:standalone", "replication": "role:master",
		"memory": "maxmemory:0 maxmemory_policy:noeviction", "persistence": "aof_enabled:1",
	}
	for name, text := range changed {
		sections[name] = text
	}
	return sections
}

func TestCheckFindsProblems(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		changed        map[string]string
		code           string
		refuse, losing bool
	}{
		"fine":            {},
		"oldest":          {changed: map[string]string{"server": "redis_version:6.2.0"}},
		"too old":         {changed: map[string]string{"server": "redis_version:6.0.16"}, code: "version", refuse: true},
		"no version":      {changed: map[string]string{"server": ""}, code: "version", refuse: true},
		"replica":         {changed: map[string]string{"replication": "role:slave"}, code: "replica", refuse: true},
		"cluster":         {changed: map[string]string{"server": "redis_version:7.2.4 redis_mode:cluster"}, code: "cluster", refuse: true},
		"evicting":        {changed: map[string]string{"memory": "maxmemory_policy:allkeys-lru"}, code: "eviction", refuse: true, losing: true},
		"not persistent":  {changed: map[string]string{"persistence": "aof_enabled:0"}, code: "persistence", losing: true},
		"version 10 is >": {changed: map[string]string{"server": "redis_version:10.0.0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := redisx.Check(t.Context(), open(t, info(t, with(c.changed))), access.Worker)
			if err != nil {
				t.Fatal(err)
			}
			if c.code == "" {
				if len(found) != 0 {
					t.Errorf("got %v", found)
				}
				return
			}
			if len(found) != 1 || found[0].Code != c.code || found[0].Refuse != c.refuse || found[0].Volatile != c.losing || found[0].Fix == "" {
				t.Errorf("got %+v", found)
			}
		})
	}
}

func TestCheckReportsThatInfoIsForbidden(t *testing.T) {
	t.Parallel()
	found, err := redisx.Check(t.Context(), open(t, info(t, nil)), access.Worker)
	if err != nil || len(found) != 1 || found[0].Code != "info" || found[0].Refuse {
		t.Errorf("got %+v, %v", found, err)
	}
}

func TestCheckOfTheTestServer(t *testing.T) {
	t.Parallel()
	found, err := redisx.Check(t.Context(), open(t, testenv.Redis(t)), access.Worker)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if f.Code != "persistence" {
			t.Errorf("found %+v", f)
		}
	}
	m, err := redisx.ReadMemory(t.Context(), open(t, testenv.Redis(t)))
	if err != nil || m.Used < 100_000 {
		t.Errorf("memory: %+v, %v", m, err)
	}
}

func TestHeadroomIsFullAtSeventyPercent(t *testing.T) {
	t.Parallel()
	for memory, full := range map[string]bool{
		"used_memory:699 maxmemory:1000":      false,
		"used_memory:700 maxmemory:1000":      true,
		"used_memory:1200 maxmemory:1000":     true,
		"used_memory:9000000000 maxmemory:0":  false,
		"used_memory:100000000 maxmemory:200": true,
	} {
		room := redisx.NewHeadroom(open(t, info(t, map[string]string{"memory": memory})))
		if err := room.Check(t.Context()); errors.Is(err, redisx.ErrFull) != full {
			t.Errorf("%s: got %v", memory, err)
		}
	}
}

func TestHeadroomAllowsIfInfoIsForbidden(t *testing.T) {
	t.Parallel()
	if err := redisx.NewHeadroom(open(t, info(t, nil))).Check(t.Context()); err != nil {
		t.Error(err)
	}
}
