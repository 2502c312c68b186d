package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/kycq/kycq/internal/access"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/redisx"
)

// redisChecks lists the codes of redisx.Finding, and the message if there is no such finding.
var redisChecks = []struct{ code, fine string }{
	{"version", "supported version"},
	{"replica", "accepts writes"},
	{"cluster", "not a cluster"},
	{"eviction", "evicts no keys (maxmemory-policy noeviction)"},
	{"persistence", "append-only file is on"},
	{"permissions", "no permission is known to be missing"},
}

func checkRedis(ctx context.Context, t Target) []Finding {
	const check = "redis"
	if t.Redis == nil {
		return []Finding{skipped(check, "fix the settings first")}
	}
	found, err := t.Redis.Check(ctx, t.Role)
	if f, ok := redisx.Explain(err); ok {
		cause := Environment
		if f.Credentials() {
			cause = Credentials
		}
		return []Finding{failure(check, cause, f.Message, f.Fix)}
	}
	if err != nil {
		return []Finding{failure(check, Unreachable, "Redis is unreachable: "+err.Error(),
			"start Redis, or correct KYCQ_REDIS_URL (host, port, TLS, password)")}
	}
	lines := []Finding{fine(check, "reachable")}
	if i := slices.IndexFunc(found, func(f redisx.Finding) bool { return f.Code == "info" }); i >= 0 {
		return append(lines, warning(check+"-info", found[i].Message, found[i].Fix))
	}
	for _, c := range redisChecks {
		lines = append(lines, t.redisFinding(found, c.code, c.fine))
	}
	if lines = append(lines, checkMemory(ctx, t.Redis)); t.Role == access.Dashboard {
		return lines
	}
	lines = append(lines, checkHolds(ctx, t.Redis)...)
	return append(lines, checkWorkers(ctx, t.Redis)...)
}

func (t Target) redisFinding(found []redisx.Finding, code, good string) Finding {
	check := "redis-" + code
	i := slices.IndexFunc(found, func(f redisx.Finding) bool { return f.Code == code })
	if i < 0 {
		return fine(check, good)
	}
	f := found[i]
	if f.Code == "permissions" {
		return failure(check, Credentials, f.Message, f.Fix)
	}
	if !f.Refuse || f.Volatile && t.AllowVolatile {
		return warning(check, f.Message, f.Fix)
	}
	return failure(check, Environment, f.Message, f.Fix)
}

// checkHolds returns a warning for each hold.
func checkHolds(ctx context.Context, r Redis) []Finding {
	const check = "holds"
	holds, err := r.Holds(ctx)
	switch {
	case err != nil:
		return []Finding{failure(check, Unreachable, "Redis became unreachable: "+err.Error(), "check the Redis server")}
	}
	lines := checkPaused(ctx, r, holds)
	if len(holds) == 0 {
		return append([]Finding{fine(check, "the fleet is not on hold")}, lines...)
	}
	for _, h := range holds {
		what := "the fleet"
		if h.Kind != "" {
			what = h.Kind
		}
		lines = append(lines, warning(check, fmt.Sprintf("%s is on hold (%s): %s", what, h.Cause, h.Reason), h.NextAction))
	}
	return lines
}

// checkPaused returns a warning for each queue that is paused without a hold.
func checkPaused(ctx context.Context, r Redis, holds []hold.Hold) (lines []Finding) {
	paused, err := r.Paused(ctx)
	if err != nil {
		return []Finding{failure("queues", Unreachable, "Redis became unreachable: "+err.Error(), "check the Redis server")}
	}
	for _, queue := range slices.Sorted(maps.Keys(paused)) {
		if kind := paused[queue]; kind == "" || hold.Of(kind, holds) == nil {
			lines = append(lines, warning("queues", "the queue "+queue+" is paused by hand: its tasks wait", "resume it on the dashboard (kycq dashboard --operate)"))
		}
	}
	return lines
}

// nearlyFull is the warning level; enqueuing stops at redisx.MaxFill.
const nearlyFull = redisx.MaxFill - 0.20

func checkMemory(ctx context.Context, r Redis) Finding {
	const check = "redis-memory"
	m, err := r.Memory(ctx)
	if err != nil {
		return failure(check, Unreachable, "Redis became unreachable: "+err.Error(), "check the Redis server")
	}
	used := fmt.Sprintf("%d of %d MB used (%.0f %%)", m.Used>>20, m.Max>>20, m.Fill()*100)
	fix := "raise maxmemory, or wait until the queues shrink"
	switch {
	case m.Max == 0:
		return fine(check, fmt.Sprintf("%d MB used; maxmemory is not set", m.Used>>20))
	case m.Fill() >= redisx.MaxFill:
		return failure(check, Environment, used+": enqueuing has stopped", fix)
	case m.Fill() >= nearlyFull:
		return warning(check, fmt.Sprintf("%s; enqueuing stops at %.0f %%", used, redisx.MaxFill*100), fix)
	}
	return fine(check, used)
}
