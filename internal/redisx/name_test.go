package redisx_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/testenv"
)

func TestProducersCompareTheNameInRedisWithThatOfTheBuckets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		inRedis, recorded string
		want              error
	}{
		"no worker has run yet":   {"", "", nil},
		"the same":                {"N", "N", nil},
		"another":                 {"N", "M", redisx.ErrOther},
		"buckets without a file":  {"N", "", redisx.ErrOther},
		"Redis has lost its data": {"", "N", redisx.ErrNameMissing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := testenv.RedisClient(t)
			if c.inRedis != "" {
				check(t, client.Set(t.Context(), redisx.NameKey, c.inRedis, 0).Err())
			}
			err := redisx.CheckName(t.Context(), client, func(context.Context) (string, error) { return c.recorded, nil }, 0)
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestAProducerWaitsForANameThatAWorkerRestores(t *testing.T) {
	t.Parallel()
	client := testenv.RedisClient(t)
	var looks atomic.Int32
	err := redisx.CheckName(t.Context(), client, func(ctx context.Context) (string, error) {
		if looks.Add(1) == 2 {
			check(t, client.Set(ctx, redisx.NameKey, "N", 0).Err())
		}
		return "N", nil
	}, time.Minute)
	if err != nil || looks.Load() != 3 {
		t.Errorf("%d looks, %v", looks.Load(), err)
	}
}

func TestServerNamesTheProcessAndTheDatabase(t *testing.T) {
	t.Parallel()
	testenv.Redis(t) // miniredis has no run_id
	id := must[string](t)
	one, two := testenv.RedisClient(t), testenv.RedisClient(t)
	first := id(redisx.Server(t.Context(), one))
	if first == "" || first != id(redisx.Server(t.Context(), one)) || first == id(redisx.Server(t.Context(), two)) {
		t.Errorf("%q for one database, %q for another", first, id(redisx.Server(t.Context(), two)))
	}
	_, fakeClient := fake(t)
	if got := id(redisx.Server(t.Context(), fakeClient)); got != "" {
		t.Errorf("%q of a server that refuses INFO", got)
	}
}

func TestTheServerIsAskedAgainAfterANewConnection(t *testing.T) {
	t.Parallel()
	server, client := fake(t)
	which := redisx.WatchServer(client)
	asked := func() int {
		before := server.CommandCount()
		must[string](t)(which(t.Context()))
		return server.CommandCount() - before
	}
	asked() // connects
	asked()
	if n := asked(); n != 0 {
		t.Errorf("%d commands on the same connection", n)
	}
	server.Close()
	check(t, server.Restart())
	check(t, client.Set(t.Context(), "reconnect", "x", 0).Err())
	if n := asked(); n == 0 {
		t.Error("another server was not noticed")
	}
}

// An answer over an older connection, while another one is being made, does not count for that one.
func TestTheServerIsAskedAgainAfterAConnectionThatWasBeingMade(t *testing.T) {
	t.Parallel()
	server, _ := fake(t)
	var during func()
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), Dialer: func(ctx context.Context, network, address string) (net.Conn, error) {
		if during != nil {
			during()
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}})
	t.Cleanup(func() { _ = client.Close() })
	which := redisx.WatchServer(client)
	ask := func() { must[string](t)(which(t.Context())) }
	ask() // connects
	older := client.Conn()
	check(t, older.Ping(t.Context()).Err())
	var dialled bool
	during = func() {
		during, dialled = nil, true
		check(t, older.Close())
		ask()
	}
	check(t, client.Ping(t.Context()).Err())
	before := server.CommandCount()
	ask()
	if !dialled || server.CommandCount() == before {
		t.Error("another server would not be noticed")
	}
}
