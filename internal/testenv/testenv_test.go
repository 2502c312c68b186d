package testenv_test

import (
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/kycq/kycq/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRedisDatabasesAreSeparate(t *testing.T) {
	t.Parallel()
	var (
		mu   sync.Mutex
		seen = map[string]bool{}
		all  sync.WaitGroup
	)
	for range 8 {
		all.Go(func() {
			url := testenv.RedisOrFake(t)
			mu.Lock()
			defer mu.Unlock()
			if seen[url] {
				t.Errorf("%s was returned twice", url)
			}
			seen[url] = true
		})
	}
	all.Wait()
}

func TestRedisDatabaseIsEmpty(t *testing.T) {
	t.Parallel()
	client := testenv.RedisClient(t)
	if n, err := client.DBSize(t.Context()).Result(); err != nil || n != 0 {
		t.Fatalf("%d keys, %v", n, err)
	}
	if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Error(err)
	}
}

func TestRedisDatabaseIsEmptiedAfterUse(t *testing.T) {
	t.Parallel()
	var url string
	t.Run("user", func(t *testing.T) {
		url = testenv.Redis(t)
		options, err := redis.ParseURL(url)
		if err != nil || options.DB == 0 {
			t.Fatalf("%s: %v, want a database other than 0", url, err)
		}
		client := redis.NewClient(options)
		defer client.Close()
		if err := client.Set(t.Context(), "key", "value", 0).Err(); err != nil {
			t.Fatal(err)
		}
	})
	if url == "" {
		t.Skip("this test needs a real Redis: set KYCQ_TEST_REDIS, or run make test")
	}
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	number := options.DB
	options.DB = 0
	admin := redis.NewClient(options)
	defer admin.Close()
	// Another test may use the database by now.
	conn := admin.Conn()
	defer conn.Close()
	if err := conn.Select(t.Context(), number).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Exists(t.Context(), "key").Result(); err != nil || n != 0 {
		t.Errorf("%d keys remain, %v", n, err)
	}
}

// TestRequiredReadsAList changes the environment: it cannot run in parallel.
func TestRequiredReadsAList(t *testing.T) {
	t.Setenv("KYCQ_TEST_REQUIRE", "redis, minio")
	if !testenv.Required(testenv.RealRedis) || !testenv.Required(testenv.RealMinIO) {
		t.Error("a listed server is not required")
	}
	t.Setenv("KYCQ_TEST_REQUIRE", "")
	if testenv.Required(testenv.RealRedis) {
		t.Error("a server that is not listed is required")
	}
}
