package gate

import (
	"context"
	_ "embed" // the scripts
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Every script is one round trip on one key, so that it works on a cluster too. pace.lua is put before those that work
// on a kind's hash.
var (
	//go:embed lua/pace.lua
	paceSource string
	//go:embed lua/take.lua
	takeSource string
	//go:embed lua/report.lua
	reportSource string
	//go:embed lua/probe.lua
	probeSource string
	//go:embed lua/back.lua
	backSource string
	//go:embed lua/rate.lua
	rateSource string
	//go:embed lua/mirror.lua
	mirrorSource string
	//go:embed lua/status.lua
	statusSource string
	//go:embed lua/hold.lua
	holdSource string

	takeScript   = redis.NewScript(paceSource + takeSource)
	reportScript = redis.NewScript(paceSource + reportSource)
	probeScript  = redis.NewScript(paceSource + probeSource)
	backScript   = redis.NewScript(paceSource + backSource)
	rateScript   = redis.NewScript(paceSource + rateSource)
	mirrorScript = redis.NewScript(paceSource + mirrorSource)
	statusScript = redis.NewScript(paceSource + statusSource)
	holdScript   = redis.NewScript(holdSource)
)

const holdKey = "kycq:{account}:hold"

func kindKey(kind string) string { return "kycq:{" + kind + "}:gate" }

// redisTimeout bounds one exchange with Redis: callers learn of a silent one within it.
const redisTimeout = 3 * time.Second

// onKind runs a script on a kind's hash and returns its numbers.
func (g *Gate) onKind(ctx context.Context, script *redis.Script, kind string, r Rate, args ...any) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	all := append([]any{r.Calls, r.Per.Microseconds()}, args...)
	return integers(script.Run(ctx, g.cfg.Redis, []string{kindKey(kind)}, all...))
}

// integers reads a reply of integers. One integer is a list of one.
func integers(cmd *redis.Cmd) ([]int64, error) {
	reply, err := cmd.Result()
	if err != nil {
		return nil, err
	}
	list, ok := reply.([]any)
	if !ok {
		list = []any{reply}
	}
	numbers := make([]int64, len(list))
	for i, v := range list {
		switch v := v.(type) {
		case int64:
			numbers[i] = v
		case string:
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("reply %d of the script: want a number", i)
			}
			numbers[i] = n
		default:
			return nil, fmt.Errorf("reply %d of the script: want a number, not %T", i, v)
		}
	}
	return numbers, nil
}
