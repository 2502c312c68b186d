package redisx

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/sleep"
)

// NameKey holds the name of the installation that this Redis drives. Package installation has the rules; the gate gives no
// slot while the key is missing.
const NameKey = "kycq:{gate}:installation"

var (
	// ErrOther means that Redis, buckets and account belong to different installations; it is that of every OtherError.
	ErrOther = errors.New("another installation")
	// ErrNameMissing means that Redis has lost the name of the installation, or is not the one that drives it.
	ErrNameMissing = errors.New("this Redis (KYCQ_REDIS_URL) does not carry the name of the installation in these buckets: " +
		"if it has lost its data, try again while a worker is running, which restores the name; else correct KYCQ_REDIS_URL (kycq doctor)")
)

// OtherError says what does not belong together, and how to fix that.
type OtherError struct{ Message, Fix string }

func (e *OtherError) Error() string { return e.Message + ": " + e.Fix }

// Unwrap makes it an ErrOther.
func (e *OtherError) Unwrap() error { return ErrOther }

// OtherRedis is the error for a Redis that carries another name than the buckets record.
func OtherRedis() error {
	return &OtherError{
		Message: "this Redis (KYCQ_REDIS_URL) belongs to another installation than these buckets (KYCQ_S3_RECORDS_BUCKET)",
		Fix: "correct one of them: each installation needs buckets and a Redis database of its own. " +
			"If this Redis is to drive these buckets from now on, stop all workers and run: kycq storage adopt --reason TEXT",
	}
}

// Name returns the name of the installation that the Redis drives, or "".
func Name(ctx context.Context, client redis.UniversalClient) (string, error) {
	name, err := client.Get(ctx, NameKey).Result()
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	return name, wrap("read the name of the installation", err)
}

// namePause is the time between two looks of CheckName.
const namePause = 500 * time.Millisecond

// CheckName compares the name in Redis with the one that the buckets record, for processes without the settings of the
// vendor. It waits up to patience for a missing name, which a worker restores. It returns ErrOther or ErrNameMissing. While
// neither has a name, no worker has run yet, and nothing can be mixed up.
func CheckName(ctx context.Context, client redis.UniversalClient, recorded func(context.Context) (string, error), patience time.Duration) error {
	for deadline := time.Now().Add(patience); ; {
		name, err := Name(ctx, client) // before the record: a worker writes the name after it
		if err != nil {
			return err
		}
		want, err := recorded(ctx)
		switch {
		case err != nil:
			return err
		case name == want:
			return nil
		case name != "":
			return OtherRedis()
		case time.Now().After(deadline):
			return ErrNameMissing
		}
		if err := sleep.For(ctx, namePause); err != nil {
			return err
		}
	}
}

// Server identifies the process of the Redis server and the database: a new process has a new run_id. It is "" if the
// server does not tell, since managed services can forbid INFO.
func Server(ctx context.Context, client redis.UniversalClient) (string, error) {
	text, err := client.Info(ctx, "server").Result()
	var refused redis.Error
	if err != nil && !errors.As(err, &refused) {
		return "", wrap("read INFO server", err)
	}
	info := serverInfo{}
	info.add(text)
	if info["run_id"] == "" {
		return "", nil
	}
	database := 0
	if c, ok := client.(*redis.Client); ok {
		database = c.Options().DB
	}
	return info["run_id"] + "/" + strconv.Itoa(database), nil
}

// WatchServer returns a function like Server that asks the server only after a connection was made, and every 10 s. Another
// server needs a new connection, so between these nothing can have changed.
func WatchServer(client redis.UniversalClient) func(context.Context) (string, error) {
	made := &dials{}
	client.AddHook(made)
	var name string
	var asked time.Time
	var seen int64
	return func(ctx context.Context) (string, error) {
		n := made.Load()
		if !asked.IsZero() && n == seen && time.Since(asked) < 10*time.Second {
			return name, nil
		}
		now, err := Server(ctx, client)
		if err == nil {
			name, asked, seen = now, time.Now(), n
		}
		return now, err
	}
}

// dials counts the connections that a client makes.
type dials struct{ atomic.Int64 }

func (d *dials) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := next(ctx, network, address)
		d.Add(1) // not before: an answer over an older connection would then count for this one
		return conn, err
	}
}

func (*dials) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (*dials) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
