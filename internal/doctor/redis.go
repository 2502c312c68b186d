package doctor

import (
	"context"
	"fmt"
	"slices"

	"github.com/kycq/kycq/internal/redisx"
)

// redisChecks are the codes of redisx.Finding that become lines of their own, in this order, with what is said where
// there is nothing to complain about.
var redisChecks = []struct{ code, fine string }{
	{"version", "the version is new enough"},
	{"replica", "it takes writes"},
	{"cluster", "it is a single primary"},
	{"eviction", "it drops no keys (maxmemory-policy noeviction)"},
	{"persistence", "it writes an append-only file"},
}

func checkRedis(ctx context.Context, p Patient) []Finding {
	const check = "redis"
	if p.Redis == nil {
		return []Finding{skipped(check, "the settings come first")}
	}
	found, err := p.Redis.Check(ctx)
	if err != nil {
		return []Finding{failure(check, Unreachable, "Redis cannot be reached: "+err.Error(),
			"start Redis, or correct KYCQ_REDIS_URL (host, port, TLS, password)")}
	}
	lines := []Finding{fine(check, "reachable")}
	if i := slices.IndexFunc(found, func(f redisx.Finding) bool { return f.Code == "info" }); i >= 0 {
		return append(lines, warning(check+"-info", found[i].Message, found[i].Fix))
	}
	for _, c := range redisChecks {
		lines = append(lines, p.redisLine(found, c.code, c.fine))
	}
	return append(lines, checkMemory(ctx, p.Redis))
}

func (p Patient) redisLine(found []redisx.Finding, code, good string) Finding {
	check := "redis-" + code
	i := slices.IndexFunc(found, func(f redisx.Finding) bool { return f.Code == code })
	if i < 0 {
		return fine(check, good)
	}
	f := found[i]
	if !f.Refuse || f.Volatile && p.AllowVolatile {
		return warning(check, f.Message, f.Fix)
	}
	return failure(check, Environment, f.Message, f.Fix)
}

// nearlyFull is where an operator still has time: enqueuing ends at redisx.MaxFill.
const nearlyFull = redisx.MaxFill - 0.20

func checkMemory(ctx context.Context, r Redis) Finding {
	const check = "redis-memory"
	m, err := r.Memory(ctx)
	if err != nil {
		return failure(check, Unreachable, "Redis went away: "+err.Error(), "look at Redis")
	}
	used := fmt.Sprintf("%d of %d MB are used (%.0f %%)", m.Used>>20, m.Max>>20, m.Fill()*100)
	fix := "raise maxmemory, or wait until the queues are shorter"
	switch {
	case m.Max == 0:
		return fine(check, fmt.Sprintf("%d MB are used; there is no maxmemory", m.Used>>20))
	case m.Fill() >= redisx.MaxFill:
		return failure(check, Environment, used+": nothing is enqueued any more", fix)
	case m.Fill() >= nearlyFull:
		return warning(check, fmt.Sprintf("%s; nothing is enqueued from %.0f %% on", used, redisx.MaxFill*100), fix)
	}
	return fine(check, used)
}
