package redisx

import (
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/kycq/kycq/internal/redact"
)

// The client's limits. go-redis' defaults (5 dials of 5 s each, 3 retries, 5 s reads) would let one command hang for over
// a minute on a Redis that swallows packets, longer than an asynq lease (30 s) lives. With these a command gives up
// within dialTimeout + 2 x ioTimeout + poolTimeout, and the first one after the server is back goes through.
const (
	dialTimeout = 2 * time.Second
	dialTries   = 1 // go-redis counts tries here, not retries
	ioTimeout   = 3 * time.Second
	poolTimeout = 4 * time.Second
	// One retry is for the pooled connection that died with the last Redis. Each further one is another chance that the
	// command ran and only its reply was lost, which asynq then reports as a task id conflict.
	retries  = 1
	poolSize = 64
	// maxIdle is below the idle timeouts of common load balancers and NAT gateways (350 s at AWS).
	maxIdle = 5 * time.Minute
)

// Open builds the client for a Redis URL, without touching the network:
//
//	redis://[user:password@]host[:6379][/db]
//	rediss://...                                     with TLS
//	redis-sentinel://[user:password@]host[:26379][,host...][/db]?master=NAME[&sentinel_username=...][&sentinel_password=...][&tls=true]
//
// In the last form user and password are those of the Redis servers. go-redis' own query parameters (read_timeout,
// pool_size, ...) work in the first two and win over the limits above. The error never quotes the URL: it may hold a
// password.
func Open(url redact.Secret) (redis.UniversalClient, error) {
	text := url.Reveal()
	if rest, ok := cutScheme(text, "redis-sentinel"); ok {
		opt, err := parseSentinel(rest)
		if err != nil {
			return nil, fmt.Errorf("redis url: %w", err)
		}
		return redis.NewFailoverClient(opt), nil
	}
	opt, err := redis.ParseURL(text)
	if err != nil || opt.Network != "tcp" {
		return nil, errors.New("redis url: cannot be read: write redis://host:6379/0, rediss://host:6379/0 or redis-sentinel://host:26379/0?master=NAME " +
			"(characters like @ / # in a password are written as %40 %2F %23)")
	}
	limit(opt)
	return redis.NewClient(opt), nil
}

func limit(opt *redis.Options) {
	setDefault(&opt.DialTimeout, dialTimeout)
	setDefault(&opt.DialerRetries, dialTries)
	setDefault(&opt.ReadTimeout, ioTimeout)
	setDefault(&opt.WriteTimeout, ioTimeout)
	setDefault(&opt.PoolTimeout, poolTimeout)
	setDefault(&opt.MaxRetries, retries)
	setDefault(&opt.PoolSize, poolSize)
	setDefault(&opt.ConnMaxIdleTime, maxIdle)
	opt.ContextTimeoutEnabled = true
	// CLIENT SETINFO costs a round trip for every connection and is refused by some proxies and ACLs.
	opt.DisableIdentity = true
	// The hand-over protocol of one vendor's cloud: with it on, go-redis moves and relaxes connections by itself.
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
