package redisx

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/kycq/kycq/internal/redact"
)

// With the defaults of go-redis (5 dials of 5 s each, 3 retries, 5 s reads) one command could hang for over a minute on a
// server that drops packets, longer than an asynq lease (30 s). With these limits a command fails within
// dialTimeout + 2 * ioTimeout + poolTimeout.
const (
	dialTimeout = 2 * time.Second
	dialTries   = 1 // go-redis counts tries here, not retries
	ioTimeout   = 3 * time.Second
	poolTimeout = 4 * time.Second
	// One retry covers a pooled connection that the server has closed. If a retried command had run and only its reply was
	// lost, asynq reports a false task id conflict; more retries would make this more likely.
	retries  = 1
	poolSize = 64
	// maxIdle is below the idle timeouts of common load balancers and NAT gateways (350 s at AWS).
	maxIdle = 5 * time.Minute
)

// Open creates the client for a Redis URL. It makes no network calls. URLs are of the form
//
//	redis://[user:password@]host[:6379][/db]
//	rediss://...                                     with TLS
//	redis-sentinel://[user:password@]host[:26379][,host...][/db]?master=NAME[&sentinel_username=...][&sentinel_password=...][&tls=true]
//
// In the last form, user and password are those of the Redis servers. The first two forms accept the query parameters of
// go-redis (read_timeout, pool_size, ...), which override the limits above. Errors never quote the URL, which may hold a
// password.
func Open(url redact.Secret) (redis.UniversalClient, error) {
	text := url.Reveal()
	if rest, ok := strings.CutPrefix(text, "redis-sentinel://"); ok {
		opt, err := parseSentinel(rest)
		if err != nil {
			return nil, fmt.Errorf("redis url: %w", err)
		}
		return redis.NewFailoverClient(opt), nil
	}
	opt, err := redis.ParseURL(text)
	if err != nil || opt.Network != "tcp" {
		return nil, errors.New("redis url: invalid: use redis://host:6379/0, rediss://host:6379/0 or redis-sentinel://host:26379/0?master=NAME " +
			"(characters like @ / # in a password are written as %40 %2F %23)")
	}
	setLimits(opt)
	return redis.NewClient(opt), nil
}

func setLimits(opt *redis.Options) {
	setDefault(&opt.DialTimeout, dialTimeout)
	setDefault(&opt.DialerRetries, dialTries)
	setDefault(&opt.ReadTimeout, ioTimeout)
	setDefault(&opt.WriteTimeout, ioTimeout)
	setDefault(&opt.PoolTimeout, poolTimeout)
	setDefault(&opt.MaxRetries, retries)
	setDefault(&opt.PoolSize, poolSize)
	setDefault(&opt.ConnMaxIdleTime, maxIdle)
	opt.ContextTimeoutEnabled = true
	// Some proxies and ACLs refuse CLIENT SETINFO.
	opt.DisableIdentity = true
	// Maintenance notifications are a protocol of one vendor's cloud.
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
