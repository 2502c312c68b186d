package dashboard_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kycq/kycq/internal/dashboard"
)

func TestAChangeIsEnteredFirstAndRefusedIfItCannotBe(t *testing.T) {
	t.Parallel()
	var entered []map[string]string
	var who string
	var down error
	s := open(t, operating, func(c *dashboard.Config) {
		c.Audit = func(_ context.Context, user string, detail map[string]string) error {
			who, entered = user, append(entered, detail)
			return down
		}
	})
	post := func(path, body string) int {
		r := httptest.NewRequest(http.MethodPost, dashboard.DefaultPath+"/api"+path, strings.NewReader(body))
		r.SetBasicAuth(user, password)
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		return w.Code
	}
	post("/queues/aadhaar-bulk:pause", "")
	post("/queues/aadhaar-bulk/pending_tasks:batch_archive", `{"task_ids":["A:1","B:1"]}`)
	want := []map[string]string{
		{"method": "POST", "path": "queues/aadhaar-bulk:pause"},
		{"method": "POST", "path": "queues/aadhaar-bulk/pending_tasks:batch_archive", "tasks": "2"},
	}
	if diff := cmp.Diff(want, entered); diff != "" || who != user {
		t.Errorf("entered by %s (-want +got):\n%s", who, diff)
	}
	down = errors.New("S3 is down")
	if code := post("/queues/passport-bulk:pause", ""); code != http.StatusServiceUnavailable {
		t.Errorf("a change without an audit entry: status %d", code)
	}
	if paused, _ := s.redis.Exists(t.Context(), "asynq:{passport-bulk}:paused").Result(); paused != 0 {
		t.Error("the queue was paused without an audit entry")
	}
}
