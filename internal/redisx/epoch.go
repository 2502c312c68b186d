package redisx

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Epoch tells whether this Redis is the one whose open set was last rebuilt from S3. A new or wiped server has no
// epoch; the key is set only once a rebuild has ended, so that one which is killed half-way is begun again, and only if
// nothing wiped the server meanwhile.
type Epoch struct{ client redis.UniversalClient }

// NewEpoch keeps the key in the server behind client.
func NewEpoch(client redis.UniversalClient) *Epoch { return &Epoch{client: client} }

const rebuilding = "rebuilding:"

func epochKey() string { return accountKey("epoch") }

// Lost tells whether the open set must be rebuilt.
func (e *Epoch) Lost(ctx context.Context) (bool, error) {
	value, err := e.client.Get(ctx, epochKey()).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("read the epoch: %w", err)
	}
	return strings.HasPrefix(value, rebuilding), nil
}

// Begin notes that a rebuild starts and returns the token that Finish wants.
func (e *Epoch) Begin(ctx context.Context) (token string, err error) {
	token = rand.Text()
	if err := e.client.Set(ctx, epochKey(), rebuilding+token, 0).Err(); err != nil {
		return "", fmt.Errorf("begin an epoch: %w", err)
	}
	return token, nil
}

// finishScript: KEYS[1] the epoch, ARGV[1] what Begin wrote, ARGV[2] the finished value.
var finishScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
`)

// Finish sets the epoch. It returns false where the key is not what Begin wrote: Redis was wiped, or another rebuild
// was begun; then the rebuild has to be done again.
func (e *Epoch) Finish(ctx context.Context, token string) (bool, error) {
	done, err := finishScript.Run(ctx, e.client, []string{epochKey()}, rebuilding+token, token).Int()
	if err != nil {
		return false, fmt.Errorf("finish the epoch: %w", err)
	}
	return done == 1, nil
}
