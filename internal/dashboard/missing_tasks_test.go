package dashboard_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/dashboard"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/internal/testenv"
)

// miniredis has no MEMORY USAGE, which the failing script calls.
func TestMissingTaskKeysAreTolerated(t *testing.T) {
	t.Parallel()
	opt, err := redis.ParseURL(testenv.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(opt)
	t.Cleanup(func() { _ = client.Close() })
	s := open(t, func(c *dashboard.Config) { c.Redis = client })
	const queue = "passport-bulk"
	for _, id := range []string{"A", "B", "C"} {
		if _, err := asynq.NewClientFromRedisClient(client).Enqueue(passportTask(t, seal.Insecure(), id, "n"), asynq.Queue(queue), asynq.TaskID(id)); err != nil {
			t.Fatal(err)
		}
	}
	client.Del(t.Context(), "asynq:{"+queue+"}:t:A")
	for _, path := range apiPaths(queue, "B") {
		if strings.HasSuffix(path, "/groups") {
			continue
		}
		if w := s.ask(http.MethodGet, path); w.Code != http.StatusOK {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
	if answer := s.get("/asynqmon/api/queues"); !strings.Contains(answer, `"pending":3`) {
		t.Errorf("the three tasks are not counted: %s", answer)
	}
}
