package redisx

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Epoch detects a new or wiped Redis, whose open set must be rebuilt from S3: such a server has no epoch key. The key is
// set at the end of a rebuild, so an interrupted rebuild is started again, and only if Redis was not wiped meanwhile.
type Epoch struct{ client redis.UniversalClient }

// NewEpoch stores the key in the server of client.
func NewEpoch(client redis.UniversalClient) *Epoch { return &Epoch{client: client} }

const rebuilding = "rebuilding:"

func epochKey() string { return accountKey("epoch") }

// Lost reports whether the open set must be rebuilt.
func (e *Epoch) Lost(ctx context.Context) (bool, error) {
	value, err := e.client.Get(ctx, epochKey()).Result()
	if errors.Is(err, redis.Nil) {
		return true, nil
	}
	return strings.HasPrefix(value, rebuilding), wrap("read the epoch", err)
}

// Begin records the start of a rebuild and returns the token for Finish.
func (e *Epoch) Begin(ctx context.Context) (token string, err error) {
	token = rand.Text()
	return token, wrap("begin an epoch", e.client.Set(ctx, epochKey(), rebuilding+token, 0).Err())
}

// finishScript: KEYS[1] the epoch, ARGV[1] the value written by Begin, ARGV[2] the new value.
var finishScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
`)

// Finish sets the epoch. It returns false if the key does not have the value written by Begin, because Redis was wiped or
// another rebuild was begun; then the rebuild must be repeated.
func (e *Epoch) Finish(ctx context.Context, token string) (bool, error) {
	done, err := finishScript.Run(ctx, e.client, []string{epochKey()}, rebuilding+token, token).Int()
	return done == 1, wrap("finish the epoch", err)
}
