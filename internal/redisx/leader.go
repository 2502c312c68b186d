package redisx

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Leader elects one process of the fleet for work that need not be done twice. It saves work and is not a lock that
// anything's correctness may hang on: after a pause of the process, or a wipe of Redis, two may lead for a while.
type Leader struct {
	client redis.UniversalClient
	key    string
	owner  string
	life   time.Duration
}

// NewLeader stands for election under a name. Who leads keeps leading for life after its last Lead.
func NewLeader(client redis.UniversalClient, name string, life time.Duration) *Leader {
	return &Leader{client: client, key: accountKey("leader:" + name), owner: rand.Text(), life: life}
}

// leadScript: KEYS[1] the lock, ARGV[1] its would-be owner, ARGV[2] its life in milliseconds.
var leadScript = redis.NewScript(`
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`)

// Lead takes the leadership or renews it, and tells whether this process leads. Call it more often than life.
func (l *Leader) Lead(ctx context.Context) (bool, error) {
	leads, err := leadScript.Run(ctx, l.client, []string{l.key}, l.owner, l.life.Milliseconds()).Int()
	if err != nil {
		return false, fmt.Errorf("stand for election: %w", err)
	}
	return leads == 1, nil
}

var resignScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`)

// Resign hands the leadership back, if this process has it, so that another need not wait for its end of life.
func (l *Leader) Resign(ctx context.Context) error {
	if err := resignScript.Run(ctx, l.client, []string{l.key}, l.owner).Err(); err != nil {
		return fmt.Errorf("resign: %w", err)
	}
	return nil
}
