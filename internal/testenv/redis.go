package testenv

import (
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	// claimTTL is longer than the default timeout of go test (10 minutes): the database of a killed test is free again by then.
	claimTTL = 15 * time.Minute
	// claimWait is how long a test waits if all databases are taken.
	claimWait  = 2 * time.Minute
	claimPause = 200 * time.Millisecond
)

// Redis returns the URL of an empty logical database on the real Redis. No other test uses it at the same time, not even one
// of another process. Redis skips the test if there is no real Redis.
func Redis(t testing.TB) string {
	t.Helper()
	return claimDatabase(t, realServer(t, RealRedis, "KYCQ_TEST_REDIS"))
}

// RedisOrFake is Redis, or a new miniredis if there is no real Redis.
func RedisOrFake(t testing.TB) string {
	t.Helper()
	if os.Getenv("KYCQ_TEST_REDIS") != "" || Required(RealRedis) {
		return Redis(t)
	}
	return "redis://" + miniredis.RunT(t).Addr() + "/0"
}

// RedisClient returns a client of RedisOrFake. It is closed at the end of the test.
func RedisClient(t testing.TB) *redis.Client {
	t.Helper()
	return connect(t, RedisOrFake(t), -1)
}

// claimDatabase takes a database number by a key in database 0. A Redis has 16 databases by default; make test starts one
// with --databases 1024.
func claimDatabase(t testing.TB, server string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), claimWait)
	defer cancel()
	admin := connect(t, server, 0)
	databases := countDatabases(ctx, t, admin)
	owner := rand.Text()
	start := mathrand.N(databases - 1) // tests start at the same time: spread them
	for {
		for n := range databases - 1 {
			n = 1 + (start+n)%(databases-1)
			key := "kycq:testenv:database:" + strconv.Itoa(n)
			won, err := admin.SetNX(ctx, key, owner, claimTTL).Result()
			if err != nil {
				t.Fatalf("claim a test database at KYCQ_TEST_REDIS: %v", err)
			}
			if won {
				return emptyDatabase(t, admin, server, key, n)
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("all %d databases of KYCQ_TEST_REDIS are in use by other tests: start it with --databases 1024", databases)
		case <-time.After(claimPause):
		}
	}
}

func emptyDatabase(t testing.TB, admin *redis.Client, server, key string, n int) string {
	t.Helper()
	own := connect(t, server, n)
	if err := own.FlushDB(context.Background()).Err(); err != nil {
		t.Fatalf("empty test database %d: %v", n, err)
	}
	t.Cleanup(func() {
		own.FlushDB(context.Background())
		admin.Del(context.Background(), key)
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("KYCQ_TEST_REDIS: %v", err)
	}
	u.Path = "/" + strconv.Itoa(n)
	return u.String()
}

func countDatabases(ctx context.Context, t testing.TB, admin *redis.Client) int {
	t.Helper()
	const stock = 16
	answer, err := admin.ConfigGet(ctx, "databases").Result()
	if err != nil {
		return stock // CONFIG may be forbidden
	}
	n, err := strconv.Atoi(answer["databases"])
	if err != nil {
		return stock
	}
	return n
}

// connect opens a client on database n, or on that of the URL if n is -1.
func connect(t testing.TB, server string, n int) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(server)
	if err != nil {
		t.Fatalf("KYCQ_TEST_REDIS: %v", err)
	}
	if n >= 0 {
		options.DB = n
	}
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// FreeAddress returns a loopback address on which nothing listens, for a server that cannot choose its port. The port is
// below the range from which Linux assigns ports, so that no outgoing connection takes it before the server does.
func FreeAddress(t testing.TB) string {
	t.Helper()
	const lowest, highest, tries = 12000, 20000, 200
	for range tries {
		address := "127.0.0.1:" + strconv.Itoa(lowest+mathrand.N(highest-lowest))
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return address
	}
	t.Fatal("no free port")
	return ""
}
