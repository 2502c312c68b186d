package faults

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/dev/simulator"
	"github.com/kycq/kycq/internal/dev/simulator/simtest"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/internal/testenv"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
	"github.com/kycq/kycq/tasks"
)

// stack is one installation of kycq: a Redis, three buckets, a keyset, a Cashfree, and the jobs and workers of one
// scenario. What the test itself reads and writes never takes the way that the scenario breaks.
type stack struct {
	t       testing.TB
	dir     string
	redis   redis.UniversalClient
	store   *storage.Store
	witness *witness
	sim     *simtest.Server
	keyset  *seal.Keyset
	client  *tasks.Client
	leaks   *leaks
	env     []string
	// vendorProxy is set by thruProxy.
	vendorProxy *proxy

	mu       sync.Mutex
	named    int
	accepted []job
	workers  []*process
}

// setting is one of a stack's.
type setting func(*plan)

// plan is what a stack is built from.
type plan struct {
	sim         simulator.Config
	redis       *redisServer
	redisThru   *proxy
	redisTap    func(command []string) bool
	vendorThru  bool
	environment []string
}

// takesIDs says when the vendor uses up an id: simulator.TakeOnArrival or TakeOnSuccess.
func takesIDs(when string) setting { return func(p *plan) { p.sim.TakeIDs = when } }

// slowly is how long the vendor takes for an answer.
func slowly(latency time.Duration) setting { return func(p *plan) { p.sim.Latency = latency } }

// on uses a Redis of the scenario's own, through a proxy if there is one.
func on(server *redisServer, thru *proxy) setting {
	return func(p *plan) { p.redis, p.redisThru = server, thru }
}

// tapped passes every command that a kycq of the stack sends to Redis to allow, and does not execute it if that returns
// false.
func tapped(allow func(command []string) bool) setting {
	return func(p *plan) { p.redisTap = allow }
}

// with sets variables for every kycq of the stack: NAME=value.
func with(variables ...string) setting {
	return func(p *plan) { p.environment = append(p.environment, variables...) }
}

const clientID = "specimen"

func newStack(t testing.TB, settings ...setting) *stack {
	t.Helper()
	p := &plan{sim: simulator.Config{ClientID: clientID, ClientSecret: canarySecret, Masker: mask}}
	for _, set := range settings {
		set(p)
	}
	masked() // now, and not while a worker waits for it
	s := &stack{t: t, dir: t.TempDir(), witness: newWitness()}
	server := storagetest.StartMinIO(t)
	server.Use(s.witness.intercept)
	s.store = server.Store(t)
	s.sim = simtest.Start(t, p.sim)

	direct := p.directRedis(t)
	s.redis = openRedis(t, direct)
	var err error
	s.keyset, err = seal.Generate()
	check(t, err)
	s.client, err = tasks.NewClient(tasks.ClientConfig{Redis: s.redis, Ledger: s.store, Keyset: s.keyset})
	check(t, err)
	s.env = s.environment(p, server.Config(), direct)
	t.Cleanup(s.keepLogs)
	s.leaks = watchLeaks(t, s)
	return s
}

func (p *plan) directRedis(t testing.TB) string {
	t.Helper()
	if p.redis == nil {
		return testenv.Redis(t)
	}
	return "redis://" + p.redis.addr + "/0"
}

// redisURL is how the stack's programs reach the Redis that the test itself reaches at direct.
func (p *plan) redisURL(t testing.TB, direct string) string {
	t.Helper()
	u, err := url.Parse(direct)
	check(t, err)
	switch {
	case p.redisThru != nil:
		u.Host = p.redisThru.addr
	case p.redisTap != nil:
		u.Host = startTap(t, u.Host, p.redisTap)
	}
	return u.String()
}

// environment is what every kycq of the stack runs with. Timeouts and rates are short and high, so that scenarios are
// about faults and not about waiting; each scenario may set others.
func (s *stack) environment(p *plan, cfg storage.Config, direct string) []string {
	s.t.Helper()
	doc, err := s.keyset.Marshal()
	check(s.t, err)
	path := filepath.Join(s.dir, "keyset.json")
	check(s.t, os.WriteFile(path, doc, 0o600))
	vendor, host := s.sim.URL, s.sim.Host
	if p.vendorThru {
		s.vendorProxy = startProxy(s.t, s.sim.Host)
		host = s.vendorProxy.addr
		vendor = (&url.URL{Scheme: "http", Host: host, Path: "/verification"}).String()
	}
	return append(append(plainEnvironment(),
		"KYCQ_REDIS_URL="+p.redisURL(s.t, direct), "KYCQ_ALLOW_VOLATILE_REDIS=true",
		"KYCQ_S3_ENDPOINT="+cfg.Endpoint, "KYCQ_S3_REGION="+cfg.Region, "KYCQ_S3_INBOX_BUCKET="+cfg.InboxBucket,
		"KYCQ_S3_MASKED_BUCKET="+cfg.MaskedBucket, "KYCQ_S3_RECORDS_BUCKET="+cfg.RecordsBucket,
		"AWS_ACCESS_KEY_ID="+cfg.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+cfg.SecretAccessKey.Reveal(),
		"KYCQ_CASHFREE_URL="+vendor, "KYCQ_IMAGE_HOSTS="+host,
		"KYCQ_CASHFREE_CLIENT_ID="+clientID, "KYCQ_CASHFREE_CLIENT_SECRET="+canarySecret,
		"KYCQ_KEYSET_FILE="+path, "KYCQ_LISTEN=127.0.0.1:0", "KYCQ_LOG_FORMAT=json",
		"KYCQ_AADHAAR_RATE=100/s", "KYCQ_PASSPORT_RATE=100/s", "KYCQ_RETRY_BASE=500ms", "KYCQ_RETRY_MAX=2s",
	), p.environment...)
}

// plainEnvironment is the test's own environment, without settings of kycq.
func plainEnvironment() []string {
	var plain []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "KYCQ_") {
			plain = append(plain, variable)
		}
	}
	return plain
}

// thruProxy puts a proxy between the workers and the vendor: stack.vendorProxy.
func thruProxy(p *plan) { p.vendorThru = true }

// work starts a worker, with variables of its own.
func (s *stack) work(variables ...string) *process {
	s.t.Helper()
	path, err := binary()
	check(s.t, err)
	w := launch(s.t, s.dir, path, append(append([]string(nil), s.env...), variables...), nil, "worker")
	s.mu.Lock()
	s.workers = append(s.workers, w)
	s.mu.Unlock()
	return w
}

// run is one command to its end: its stdout, stderr and exit code.
func (s *stack) run(stdin string, args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	path, err := binary()
	check(s.t, err)
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = s.env, strings.NewReader(stdin), &out, &errs
	_ = cmd.Run()
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func (s *stack) jobs() []job {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]job(nil), s.accepted...)
}

// record is a job's record as it stands in S3; nil where there is none.
func (s *stack) record(j job) *storage.Record {
	if h := s.witness.history(j); len(h) > 0 {
		return &h[len(h)-1].rec
	}
	return nil
}

// final counts the jobs that have ended.
func (s *stack) final() int {
	return count(s.jobs(), func(j job) bool {
		rec := s.record(j)
		return rec != nil && rec.State.Final()
	})
}

// open lists the jobs that have not ended.
func (s *stack) open() []job {
	var open []job
	for _, j := range s.jobs() {
		if rec := s.record(j); rec == nil || !rec.State.Final() {
			open = append(open, j)
		}
	}
	return open
}

// isSent tells whether a request of the job may be out.
func (s *stack) isSent(j job) bool {
	rec := s.record(j)
	return rec != nil && rec.State == storage.StateSent
}

// ledger lists what reached the vendor, the oldest first.
func (s *stack) ledger() []simulator.Entry { return s.sim.Entries(s.t) }

// charges counts what was paid so far.
func (s *stack) charges() int { return s.sim.Sim.State().Charged }
