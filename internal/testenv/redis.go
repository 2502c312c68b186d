package testenv

import (
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
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
	// claimTTL is above go test's own limit of 10 minutes: a test that was killed gives its database back by then.
	claimTTL = 15 * time.Minute
	// claimWait is how long a test waits where all databases are taken.
	claimWait  = 2 * time.Minute
	claimPause = 200 * time.Millisecond
)

// Redis returns the URL of an empty logical database on the real Redis that no other test uses meanwhile, also not one of
// another package or process. It skips the test where there is no real Redis.
func Redis(t testing.TB) string {
	t.Helper()
	return claimDatabase(t, realServer(t, RealRedis, "KYCQ_TEST_REDIS"))
}

// RedisOrFake is Redis, with a miniredis of the test's own where there is no real one.
func RedisOrFake(t testing.TB) string {
	t.Helper()
	if os.Getenv("KYCQ_TEST_REDIS") != "" || Required(RealRedis) {
		return Redis(t)
	}
	return "redis://" + miniredis.RunT(t).Addr() + "/0"
}

// RedisClient returns a client of RedisOrFake, closed at the end of the test.
func RedisClient(t testing.TB) *redis.Client {
	t.Helper()
	return connect(t, RedisOrFake(t), -1)
}

// claimDatabase takes a database number by a key in database 0. A stock Redis has 15 numbers to give; make test starts
// its own with --databases 1024.
func claimDatabase(t testing.TB, server string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), claimWait)
	defer cancel()
	admin := connect(t, server, 0)
	databases := countDatabases(ctx, t, admin)
	owner := rand.Text()
	start := mathrand.N(databases - 1) // many tests begin at once: let them not all ask for number 1
	for {
		for n := range databases - 1 {
			n = 1 + (start+n)%(databases-1)
			key := "kycq:testenv:database:" + strconv.Itoa(n)
			won, err := admin.SetNX(ctx, key, owner, claimTTL).Result()
			if err != nil {
				t.Fatalf("claim a test database at KYCQ_TEST_REDIS: %v", err)
			}
			if won {
				return handOver(t, admin, server, key, n)
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("all %d databases of KYCQ_TEST_REDIS are taken by other tests: start it with --databases 1024", databases)
		case <-time.After(claimPause):
		}
	}
}

func handOver(t testing.TB, admin *redis.Client, server, key string, n int) string {
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

// connect opens a client on database n; -1 keeps the one of the URL.
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
