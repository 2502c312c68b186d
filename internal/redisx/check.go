package redisx

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Finding is something about the Redis server that should be changed.
type Finding struct {
	// Code is stable, for programs: version, eviction, persistence, replica, cluster, info.
	Code string
	// Refuse says that kycq must not work on this server; the others are warnings.
	Refuse bool
	// Volatile says that the finding is about losing data only, so that a developer may accept it
	// (--allow-volatile-redis).
	Volatile bool
	// Message says what is, Fix what to change.
	Message, Fix string
}

func (f Finding) String() string { return f.Message + ": " + f.Fix }

// Check asks the server what it is and lists what is wrong with it, the refusals first. It needs INFO only, since
// managed services forbid CONFIG. The error is for a server that cannot be asked at all.
func Check(ctx context.Context, client redis.UniversalClient) ([]Finding, error) {
	if err := client.Ping(ctx).Err(); err != nil {
		return nil, fmt.Errorf("ping redis: %w", err)
	}
	info := serverInfo{}
	for _, section := range []string{"server", "replication", "memory", "persistence"} {
		text, err := client.Info(ctx, section).Result()
		var refused redis.Error
		switch {
		case errors.As(err, &refused):
			return []Finding{{
				Code: "info", Volatile: true, Message: "redis does not answer INFO " + section,
				Fix: "let this user run INFO (ACL: +info), so that kycq can see version, eviction policy and persistence",
			}}, nil
		case err != nil:
			return nil, fmt.Errorf("ask redis for %s: %w", section, err)
		}
		info.add(text)
	}
	return info.findings(), nil
}

// serverInfo is the lines of INFO by name.
type serverInfo map[string]string

func (i serverInfo) add(text string) {
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			i[name] = value
		}
	}
}

func (i serverInfo) findings() []Finding {
	var found []Finding
	if version := i["redis_version"]; !atLeast(version, 6, 2) {
		found = append(found, Finding{
			Code: "version", Refuse: true, Message: fmt.Sprintf("redis is version %q", version),
			Fix: "use Redis 6.2 or newer (or Valkey)",
		})
	}
	if i["role"] == "slave" {
		found = append(found, Finding{
			Code: "replica", Refuse: true, Message: "redis is a read-only replica",
			Fix: "point KYCQ_REDIS_URL at the primary, or use redis-sentinel://",
		})
	}
	if i["redis_mode"] == "cluster" {
		found = append(found, Finding{
			Code: "cluster", Refuse: true, Message: "redis runs in cluster mode",
			Fix: "use a single primary (with replicas and sentinels as you like): the load is small",
		})
	}
	if policy := i["maxmemory_policy"]; policy != "noeviction" {
		found = append(found, Finding{
			Code: "eviction", Refuse: true, Volatile: true, Message: fmt.Sprintf("redis may drop keys (maxmemory-policy %s)", policy),
			Fix: "set maxmemory-policy noeviction (redis.conf, or CONFIG SET maxmemory-policy noeviction, or the parameter group of a managed Redis)",
		})
	}
	if i["aof_enabled"] != "1" {
		found = append(found, Finding{
			Code: "persistence", Volatile: true, Message: "redis writes no append-only file",
			Fix: "set appendonly yes; without it a restart of Redis costs time until the sweep has rebuilt the queues",
		})
	}
	return found
}

// atLeast reads a version like 7.0.15. What cannot be read is too old.
func atLeast(version string, major, minor int) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	haveMajor, err := strconv.Atoi(parts[0])
	if err != nil {
		return false
	}
	haveMinor, err := strconv.Atoi(parts[1])
	if err != nil {
		return false
	}
	return haveMajor > major || haveMajor == major && haveMinor >= minor
}
