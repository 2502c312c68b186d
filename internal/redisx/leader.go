package redisx

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/redis/go-redis/v9"
)

// Leader elects one process of the fleet for work that only one process needs to do. It is not a lock: after a pause of the
// process, or a wipe of Redis, two processes may lead for a while.
type Leader struct {
	client redis.UniversalClient
	key    string
	owner  string
	life   time.Duration
}

// NewLeader takes part in the election of the given name. The leadership ends life after the last call of Lead.
func NewLeader(client redis.UniversalClient, name string, life time.Duration) *Leader {
	return &Leader{client: client, key: accountKey("leader:" + name), owner: rand.Text(), life: life}
}

// leadScript: KEYS[1] the leader's key, ARGV[1] the candidate, ARGV[2] the life in milliseconds.
var leadScript = redis.NewScript(`
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`)

// Lead takes or renews the leadership, and reports whether this process leads.
func (l *Leader) Lead(ctx context.Context) (bool, error) {
	leads, err := leadScript.Run(ctx, l.client, []string{l.key}, l.owner, l.life.Milliseconds()).Int()
	return leads == 1, wrap("elect a leader", err)
}

var resignScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`)

// Resign ends the leadership of this process, if it leads.
func (l *Leader) Resign(ctx context.Context) error {
	return wrap("resign the leadership", resignScript.Run(ctx, l.client, []string{l.key}, l.owner).Err())
}
