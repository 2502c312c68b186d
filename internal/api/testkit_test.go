package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/png"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/kycq/kycq/internal/api"
	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/pauses"
	"github.com/kycq/kycq/internal/rate"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
	"github.com/kycq/kycq/tasks"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"))
}

// canary is part of everything personal that these tests submit.
const canary = "CANARYBIRD"

// server is an API on its own Redis and store. It has a key for all scopes and one for each.
type server struct {
	t      *testing.T
	api    *api.API
	url    string
	s3     *storagetest.Server
	store  *storage.Store
	redis  *miniredis.Miniredis
	client *tasks.Client
	keyset *tasks.Keyset
	keys   *api.Keys
	queues *asynq.Inspector
	tokens map[api.Scope]string
	all    string // token for all scopes
	log    *logBuffer
	http   *http.Client
}

func start(t *testing.T, change ...func(*api.Config)) *server {
	t.Helper()
	s := &server{t: t, redis: miniredis.RunT(t), s3: storagetest.StartFake(t), tokens: map[api.Scope]string{}, log: &logBuffer{}}
	s.s3.Store(t) // creates the buckets
	places := s.s3.Config()
	places.ImageBuckets = []string{"cards/march"}
	var err error
	if s.store, err = storage.Open(t.Context(), places); err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: s.redis.Addr()})
	t.Cleanup(func() { _ = rdb.Close() })
	s.queues = asynq.NewInspectorFromRedisClient(rdb)
	if s.keyset, err = seal.Generate(); err != nil {
		t.Fatal(err)
	}
	if s.client, err = tasks.NewClient(tasks.ClientConfig{Redis: rdb, Keyset: s.keyset, Ledger: s.store}); err != nil {
		t.Fatal(err)
	}
	g, err := gate.New(gate.Config{Redis: rdb, Rates: map[string]rate.Rate{"aadhaar": {Calls: 100, Per: time.Minute}, "passport": {Calls: 100, Per: time.Minute}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	var lines strings.Builder
	line := func(name string, scopes ...api.Scope) string {
		token := api.NewToken()
		text, err := api.KeyLine(name, scopes, time.Time{}, token)
		if err != nil {
			t.Fatal(err)
		}
		lines.WriteString(text + "\n")
		return token
	}
	for _, scope := range api.Scopes() {
		s.tokens[scope] = line(string(scope), scope)
	}
	s.all = line("all", api.Scopes()...)
	s.keys = &api.Keys{Log: zerolog.Nop()}
	s.keys.Set(lines.String())
	cfg := api.Config{
		Store: s.store, Client: s.client, Keyset: s.keyset, Redis: rdb, Gate: g, Keys: s.keys,
		Pauses: &pauses.Pauses{Bucket: s.store.Buckets().Records, Holds: g.Set, Owe: s.store.Owe, Log: zerolog.Nop()},
		Audit:  s.audit, Log: zerolog.New(s.log),
	}
	for _, c := range change {
		c(&cfg)
	}
	if s.api, err = api.New(cfg); err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(s.api)
	s.url, s.http = front.URL, front.Client()
	t.Cleanup(func() {
		_ = s.api.Close()
		front.Close()
		if strings.Contains(s.log.String(), canary) {
			t.Error("a canary is readable in the log")
		}
	})
	return s
}

func (s *server) audit(ctx context.Context, user string, act audit.Act) error {
	trail, err := audit.New(audit.Config{Bucket: audit.BucketOf(s.store.Buckets()), User: user, Host: "test"})
	if err != nil {
		return err
	}
	_, err = trail.Append(ctx, act)
	return err
}

// run runs the background of the API until the test ends.
func (s *server) run() {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.api.Run(ctx)
	}()
	s.t.Cleanup(func() {
		stop()
		<-ended
	})
}

// logBuffer is a log that is read while it is written.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// answer is an answer of the API.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// field returns a field of a JSON object, "" if there is none.
func (a answer) field(name string) string {
	var object map[string]any
	_ = json.Unmarshal(a.body, &object)
	text, _ := object[name].(string)
	return text
}

// send sends a request with the key for all scopes. headers are pairs of name and value.
func (s *server) send(method, path string, body io.Reader, headers ...string) answer {
	s.t.Helper()
	return s.sendAs(s.all, method, path, body, headers...)
}

func (s *server) sendAs(token, method, path string, body io.Reader, headers ...string) answer {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := s.http.Do(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{resp.StatusCode, resp.Header, text}
}

const jsonType = "application/json"

func (s *server) post(path, body string) answer {
	s.t.Helper()
	return s.send(http.MethodPost, path, strings.NewReader(body), "Content-Type", jsonType)
}

// passport is the body of a submission.
func passport(id, number string) string {
	return `{"verification_id":"` + id + `","file_number":"` + number + `","dob":"1990-01-31","name":"` + canary + ` Person"}`
}

// want fails the test unless the answer has a status and, if code is not empty, a problem.
func (s *server) want(a answer, status int, code string) {
	s.t.Helper()
	if a.status != status || a.field("code") != code && (code != "" || status >= 400) {
		s.t.Errorf("answer %d %s, want %d %s\n%s", a.status, a.field("code"), status, code, a.body)
	}
	if a.header.Get("Request-Id") == "" || a.header.Get("Cache-Control") != "no-store" {
		s.t.Errorf("the answer has no Request-Id, or may be stored: %v", a.header)
	}
	if status >= 400 && (a.header.Get("Content-Type") != "application/problem+json" || a.field("request_id") != a.header.Get("Request-Id")) {
		s.t.Errorf("not a problem of this request: %s %s", a.header.Get("Content-Type"), a.body)
	}
}

// picture returns a PNG of at least size bytes; equal seeds make equal pictures.
func picture(seed uint64, size int) []byte {
	side := 16
	for side*side < size {
		side *= 2
	}
	img := image.NewGray(image.Rect(0, 0, side, side))
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range img.Pix {
		img.Pix[i] = byte(random.Uint32())
	}
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.NoCompression}
	_ = encoder.Encode(&out, img)
	return out.Bytes()
}

func (s *server) record(kind tasks.Kind, id string) *storage.Record {
	s.t.Helper()
	rec, _, err := s.store.Record(s.t.Context(), kind, id)
	if err != nil {
		s.t.Fatal(err)
	}
	return rec
}

// edit changes a record, as a worker would.
func (s *server) edit(kind tasks.Kind, id string, change func(*storage.Record)) {
	s.t.Helper()
	rec, version, err := s.store.Record(s.t.Context(), kind, id)
	if err != nil {
		s.t.Fatal(err)
	}
	change(rec)
	if _, err := s.store.SwapRecord(s.t.Context(), rec, version); err != nil {
		s.t.Fatal(err)
	}
}

func finish(state storage.State) func(*storage.Record) {
	return func(rec *storage.Record) { rec.State, rec.CompletedAt = state, time.Now().UTC() }
}

// uploads counts the objects in the inbox.
func (s *server) uploads() int {
	s.t.Helper()
	n := 0
	for _, err := range s.store.Buckets().Inbox.List(s.t.Context(), "single/") {
		if err != nil {
			s.t.Fatal(err)
		}
		n++
	}
	return n
}
