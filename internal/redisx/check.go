package redisx

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/access"
)

// Finding is a problem of the Redis server.
type Finding struct {
	// Code is one of version, eviction, persistence, replica, cluster, info, permissions, credentials. It is stable.
	Code string
	// Refuse: kycq must not use this server. Other findings are warnings.
	Refuse bool
	// Volatile: the server may lose data, which --allow-volatile-redis accepts.
	Volatile bool
	// Message is the problem, Fix what to do about it.
	Message, Fix string
}

func (f Finding) String() string { return f.Message + ": " + f.Fix }

// Check returns the problems of the server for a role. It calls only INFO, since managed services forbid CONFIG. It returns an
// error if the server cannot be reached.
func Check(ctx context.Context, client redis.UniversalClient, role access.Role) ([]Finding, error) {
	found, err := checkInfo(ctx, client, "server", "replication", "memory", "persistence")
	if err != nil {
		return nil, err
	}
	lacking, err := checkPermissions(ctx, client, role)
	if err != nil {
		return nil, err
	}
	return append(found, lacking...), nil
}

// checkInfo returns the problems that some sections of INFO show.
func checkInfo(ctx context.Context, client redis.UniversalClient, sections ...string) ([]Finding, error) {
	if err := client.Ping(ctx).Err(); err != nil {
		return nil, wrap("ping redis", err)
	}
	info := serverInfo{}
	for _, section := range sections {
		text, err := client.Info(ctx, section).Result()
		var refused redis.Error
		switch {
		case errors.As(err, &refused):
			return []Finding{{
				Code: "info", Volatile: true, Message: "redis refuses INFO " + section,
				Fix: "allow INFO for this user (ACL: +info): kycq checks version, eviction policy and persistence",
			}}, nil
		case err != nil:
			return nil, fmt.Errorf("read INFO %s: %w", section, err)
		}
		info.add(text)
	}
	return info.findings(), nil
}

// serverInfo holds the fields of INFO.
type serverInfo map[string]string

func (i serverInfo) add(text string) {
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			i[name] = value
		}
	}
}

func (i serverInfo) findings() []Finding {
	version, policy := i["redis_version"], i["maxmemory_policy"]
	old := tooOld
	old.Message += fmt.Sprintf(" (version %q)", version)
	var found []Finding
	for _, f := range []struct {
		present bool
		Finding
	}{
		{!atLeast(version, 6, 2), old},
		{i["role"] == "slave", replica},
		{i["redis_mode"] == "cluster", cluster},
		{policy != "noeviction", Finding{
			Code: "eviction", Refuse: true, Volatile: true, Message: fmt.Sprintf("redis may drop keys (maxmemory-policy %s)", policy),
			Fix: "set maxmemory-policy noeviction (redis.conf, or CONFIG SET maxmemory-policy noeviction, or the parameter group of a managed Redis)",
		}},
		{i["aof_enabled"] != "1", Finding{
			Code: "persistence", Volatile: true, Message: "redis writes no append-only file",
			Fix: "set appendonly yes; otherwise the queues must be rebuilt after each restart of Redis",
		}},
	} {
		if f.present {
			found = append(found, f.Finding)
		}
	}
	return found
}

// atLeast compares a version such as 7.0.15. A malformed version counts as too old.
func atLeast(version string, major, minor int) bool {
	var haveMajor, haveMinor int
	if n, _ := fmt.Sscanf(version, "%d.%d", &haveMajor, &haveMinor); n < 2 {
		return false
	}
	return haveMajor > major || haveMajor == major && haveMinor >= minor
}
