package api

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/pauses"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Config configures an API. All fields are required but MaxPending, Metrics and Version.
type Config struct {
	Store  *storage.Store
	Client *tasks.Client
	Keyset *tasks.Keyset
	Redis  redis.UniversalClient
	Gate   *gate.Gate
	Pauses *pauses.Pauses
	Keys   *Keys
	// Audit writes an event of a user to the audit trail.
	Audit func(ctx context.Context, user string, act audit.Act) error
	// MaxPending is how many unfinished jobs and rows of batches that it has submitted a key may have; 0: any number.
	MaxPending int
	// Metrics adds further metrics to those at /metrics; it may be nil.
	Metrics func(prometheus.Registerer)
	Version string
	Log     zerolog.Logger
}

// API is an http.Handler. It is safe for concurrent use.
type API struct {
	cfg      Config
	mux      *http.ServeMux
	huma     huma.API
	bodies   bodies
	large    places   // of manifests and reports
	ofKeys   sync.Map // of places in large, by the names of keys
	checking places   // of manifests that are checked and stored
	waiters  *waiters
	metrics  *counts
	pending  *pending

	stop     sync.Once
	stopping chan struct{}
}

// New builds an API. It makes no network calls.
func New(cfg Config) (*API, error) {
	a := &API{
		cfg: cfg, mux: http.NewServeMux(), bodies: newBodies(), waiters: newWaiters(), stopping: make(chan struct{}),
		large: make(places, maxLarge), checking: make(places, 1),
	}
	a.pending = &pending{rows: map[string]openRows{}, redis: cfg.Redis, store: cfg.Store, control: a.control, limit: cfg.MaxPending}
	a.metrics = newCounts(a)
	if cfg.Metrics != nil {
		cfg.Metrics(a.metrics.registry)
	}
	a.huma = humago.New(a.mux, a.describe())
	a.huma.UseMiddleware(a.checkScope)
	a.registerJobs()
	a.registerBatches()
	a.registerFleet()
	a.registerActions()
	if err := a.registerPages(); err != nil {
		return nil, err
	}
	return a, nil
}

// Run keeps the keys up to date and wakes the requests that wait for jobs, until ctx ends.
func (a *API) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { a.cfg.Keys.Watch(ctx) })
	running.Go(func() { redisx.WatchFinished(ctx, a.cfg.Redis, a.waiters.wake) })
	running.Wait()
}

// Close makes /readyz answer 503, and answers all requests that wait.
func (a *API) Close() error {
	a.stop.Do(func() { close(a.stopping) })
	return nil
}

func (a *API) draining() bool {
	select {
	case <-a.stopping:
		return true
	default:
		return false
	}
}

// describe returns the head of the description of the API.
func (a *API) describe() huma.Config {
	c := huma.DefaultConfig("kycq", "1")
	c.Info.Description = "Bulk and live KYC checks against Cashfree Secure ID. A verification_id is the idempotency key of its job: " +
		"a submission may be repeated, and nothing is paid for twice. A retry is a new run, which is paid for: send the run that you saw " +
		"with it, and it may be repeated, too."
	c.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	c.Info.Contact = &huma.Contact{Name: "kycq", URL: "https://github.com/kycq/kycq"}
	c.Servers = []*huma.Server{{URL: "/"}}
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		securityScheme: {Type: "http", Scheme: "bearer", Description: "an API key (kq_...), made by `kycq serve key`"},
	}
	c.Tags = []*huma.Tag{
		{Name: "jobs", Description: "Submit jobs, and read their results."},
		{Name: "batches", Description: "Submit many jobs as one file, and read their progress and results."},
		{Name: "fleet", Description: "Read the state of all workers."},
		{Name: "operations", Description: "What operators do to jobs, batches and the fleet. Each use is in the audit trail."},
	}
	c.AllowAdditionalPropertiesByDefault = true
	c.RejectUnknownQueryParameters = true
	c.OpenAPIPath, c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", "", nil
	c.Transformers = []huma.Transformer{func(ctx huma.Context, _ string, v any) (any, error) {
		if p, ok := v.(*Problem); ok {
			a.complete(p, callOf(ctx.Context()))
		}
		return v, nil
	}}
	return c
}

const securityScheme = "key"

// call is a request. Its key is valid, unless the path is public.
type call struct {
	w   *recorder
	r   *http.Request
	key Key
	id  string // of the request
}

type callKey struct{}

func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// requestTimeout limits the reading of a request and the writing of its answer. Operations with long bodies set other
// deadlines.
const requestTimeout = time.Minute

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{id: rand.Text()[:16], r: r}
	recorded := &recorder{ResponseWriter: w}
	c.w = recorded
	h := w.Header()
	h.Set("Request-Id", c.id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	deadlines := http.NewResponseController(w)
	reading := noDeadline
	if r.Body != http.NoBody {
		reading = time.Now().Add(requestTimeout)
	}
	_ = deadlines.SetReadDeadline(reading) // a test's writer has none
	_ = deadlines.SetWriteDeadline(time.Now().Add(2 * requestTimeout))
	_, pattern := a.mux.Handler(r)
	began := time.Now()
	defer func() {
		a.recovered(recover(), c, recorded)
		a.metrics.answered(pattern, recorded.status, time.Since(began))
	}()
	if !isPublic(r) {
		token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		var ok bool
		if c.key, ok = a.cfg.Keys.Find(token, time.Now()); !bearer || !ok {
			a.refuse(c, failure("key_missing", nil))
			return
		}
	}
	if path.Clean(r.URL.Path) != r.URL.Path { // the mux would redirect, and repeat the path
		a.refuse(c, failure("not_found", nil))
		return
	}
	a.mux.ServeHTTP(c.w, r.WithContext(context.WithValue(r.Context(), callKey{}, c)))
}

// recovered ends a request whose handler has panicked. The value of the panic may hold input, so it is not logged.
func (a *API) recovered(value any, c *call, w *recorder) {
	if value == nil {
		return
	}
	if err, ok := value.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
		a.cfg.Log.Error().Str("request_id", c.id).Bytes("stack", debug.Stack()).Msg("a handler of the API panicked")
	}
	if w.status != 0 { // a part of the answer is sent: the client must see that it is cut off
		panic(http.ErrAbortHandler)
	}
	a.refuse(c, failure("internal_error", nil))
}

// checkScope refuses a key without the scope of the operation.
func (a *API) checkScope(ctx huma.Context, next func(huma.Context)) {
	c := callOf(ctx.Context())
	for _, scopes := range ctx.Operation().Security {
		for _, s := range scopes[securityScheme] {
			if !c.key.May(Scope(s)) {
				a.refuse(c, failure("scope_missing", nil))
				return
			}
		}
	}
	next(ctx)
}

// refuse answers with a problem.
func (a *API) refuse(c *call, p *Problem) {
	a.complete(p, c)
	for name, values := range p.GetHeaders() {
		c.w.Header()[name] = values
	}
	c.w.Header().Set("Content-Type", problemType)
	c.w.WriteHeader(p.Status)
	_ = json.NewEncoder(c.w).Encode(p)
}

// complete adds the request to a problem, and logs what the server's operator has to look at.
func (a *API) complete(p *Problem, c *call) {
	p.RequestID = c.id
	if p.Status >= http.StatusInternalServerError {
		a.cfg.Log.Warn().Str("request_id", c.id).Str("key", c.key.Name).Str("code", p.Code).Err(p.err).Msg("request failed")
	}
}

// unrouted answers requests for paths and methods that do not exist.
func (a *API) unrouted(_ http.ResponseWriter, r *http.Request) {
	code := "not_found"
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := a.mux.Handler(other); pattern != unroutedPattern {
			code = "method_not_allowed"
			callOf(r.Context()).w.Header().Add("Allow", method)
		}
	}
	a.refuse(callOf(r.Context()), failure(code, nil))
}

// recorder notes the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap gives http.ResponseController the writer of the server.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// operation describes an operation. Its name is that of clients' functions.
type operation struct {
	name, method, path, tag, summary, description string
	scope                                         Scope
	status                                        int              // of success; 0: 200
	accepted                                      bool             // answers 202 beside 200
	body                                          huma.RequestBody // if it has content
	codes                                         []string         // of problems besides the common ones
}

// register adds an operation.
func register[I, O any](a *API, op operation, handler func(ctx context.Context, c *call, in *I) (*O, error)) {
	described := huma.Operation{
		OperationID: op.name, Method: op.method, Path: op.path, DefaultStatus: op.status, Tags: []string{op.tag}, Summary: op.summary,
		Description: op.description + "\n\nScope: " + string(op.scope) + ".", Security: []map[string][]string{{securityScheme: {string(op.scope)}}},
	}
	codes := append([]string{"key_missing", "scope_missing", "invalid_input", "storage_unreachable"}, op.codes...)
	for _, code := range codes {
		if status := problems[code].status; !slices.Contains(described.Errors, status) {
			described.Errors = append(described.Errors, status)
		}
	}
	huma.Register(a.huma, described, func(ctx context.Context, in *I) (*O, error) {
		out, err := handler(ctx, callOf(ctx), in)
		if err != nil {
			return nil, problemOf(err)
		}
		return out, nil
	})
	item := a.huma.OpenAPI().Paths[op.path]
	registered := map[string]*huma.Operation{http.MethodGet: item.Get, http.MethodPost: item.Post}[op.method]
	if op.body.Content != nil { // described only now, since the handlers read bodies themselves
		registered.RequestBody = &op.body
	}
	responses := registered.Responses
	for _, r := range responses {
		if r.Headers == nil {
			r.Headers = map[string]*huma.Param{}
		}
		r.Headers["Request-Id"] = &huma.Param{Description: "names the request in the server's log", Schema: &huma.Schema{Type: huma.TypeString}}
	}
	if op.accepted {
		accepted := *responses["200"]
		accepted.Description = http.StatusText(http.StatusAccepted)
		responses["202"] = &accepted
	}
	for _, code := range codes {
		r := responses[strconv.Itoa(problems[code].status)]
		r.Description = strings.TrimPrefix(r.Description+", `"+code+"`", http.StatusText(problems[code].status)+", ")
		if problems[code].retryAfter > 0 {
			r.Headers["Retry-After"] = &huma.Param{Description: "seconds", Schema: &huma.Schema{Type: huma.TypeInteger}}
		}
	}
}

// audit writes the event of what a key is about to do. If that fails, the action must not happen.
func (a *API) audit(ctx context.Context, c *call, act audit.Act) error {
	return a.cfg.Audit(ctx, auditUser(c.key), act)
}

// auditUser names a key in the audit trail and in reviews.
func auditUser(k Key) string { return "key-" + k.Name }
