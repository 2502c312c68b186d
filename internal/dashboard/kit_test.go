package dashboard_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"golang.org/x/crypto/bcrypt"

	"github.com/kycq/kycq/internal/dashboard"
	"github.com/kycq/kycq/internal/redact"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/internal/testenv"
	"github.com/kycq/kycq/tasks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	user, password = "operator", "specimen-password"
	token          = "specimen-token-0123456789"
)

// userLine has a hash cheaper than NewLogin allows.
var userLine = func() string {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		panic(err)
	}
	return user + ":" + string(hash)
}()

func newLogin(t *testing.T) *dashboard.Login {
	t.Helper()
	login, err := dashboard.NewCheapLogin(redact.NewSecret("# users\n\n"+userLine+"\n"), redact.NewSecret(token))
	if err != nil {
		t.Fatal(err)
	}
	return login
}

// site is a dashboard and its Redis.
type site struct {
	t       *testing.T
	handler http.Handler
	redis   *redis.Client
}

func open(t *testing.T, change ...func(*dashboard.Config)) *site {
	t.Helper()
	client := testenv.RedisClient(t)
	cfg := dashboard.Config{Redis: client, Login: newLogin(t), Log: zerolog.Nop()}
	for _, c := range change {
		c(&cfg)
	}
	h, err := dashboard.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &site{t, h, client}
}

func operating(c *dashboard.Config) {
	c.Operate = true
	c.Audit = func(context.Context, string, map[string]string) error { return nil }
}

// ask sends a request with the bearer token; change may modify it.
func (s *site) ask(method, path string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequest(method, "http://127.0.0.1:8081"+path, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

func (s *site) get(path string) string {
	s.t.Helper()
	w := s.ask(http.MethodGet, path)
	if w.Code != http.StatusOK {
		s.t.Fatalf("GET %s: status %d: %s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

func anonymous(r *http.Request) { r.Header.Del("Authorization") }

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// apiPaths are all paths of asynqmon's read API for one queue and one task.
func apiPaths(queue, task string) []string {
	q := "/asynqmon/api/queues/" + queue
	paths := []string{
		"/asynqmon/api/queues", q, "/asynqmon/api/queue_stats", "/asynqmon/api/servers", "/asynqmon/api/scheduler_entries",
		"/asynqmon/api/redis_info", q + "/groups", q + "/tasks/" + task,
	}
	for _, state := range []string{"active", "pending", "scheduled", "retry", "archived", "completed"} {
		paths = append(paths, q+"/"+state+"_tasks")
	}
	return paths
}

// passportTask is a task as tasks.Client enqueues it.
func passportTask(t *testing.T, keyset *seal.Keyset, id, name string) *asynq.Task {
	t.Helper()
	plain, err := tasks.EncodeInput(tasks.Input{Passport: &tasks.PassportInput{
		FileNumber: tasks.NewPersonal("SPECIMEN00001"), DOB: tasks.NewPersonal("1990-01-31"), Name: tasks.NewPersonal(name),
	}})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := keyset.Seal(plain, tasks.InputBinding(tasks.Passport, id))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(struct {
		Version int `json:"version"`
		tasks.JobSpec
	}{1, tasks.JobSpec{
		Kind: tasks.Passport, VerificationID: id, Lane: tasks.Bulk, Run: 1, Line: 7,
		Batch: "backfill-1f00c3aa", SealedInput: sealed, Fingerprint: "f",
	}})
	if err != nil {
		t.Fatal(err)
	}
	return asynq.NewTask(tasks.TypeName(tasks.Passport), raw)
}

func contains(text string, parts ...string) bool {
	for _, part := range parts {
		if strings.Contains(strings.ToLower(text), strings.ToLower(part)) {
			return true
		}
	}
	return false
}
