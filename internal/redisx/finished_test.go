package redisx

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A server that takes connections and never answers, like one that is frozen, is unreachable, also for later calls on the pool.
func TestASilentServerIsUnreachable(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	client := redis.NewClient(&redis.Options{Addr: silent.Addr().String(), ReadTimeout: 10 * time.Millisecond, MaxRetries: -1})
	defer func() { _ = client.Close() }()
	for range 3 {
		if err := client.Info(t.Context()).Err(); !Unreachable(err) {
			t.Errorf("%T %v %T", err, err, errors.Unwrap(err))
		}
	}
}
