package faults

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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

// stack is one installation of kycq: a Redis, three buckets, a keyset, a simulator of the vendor, and the jobs and workers of
// one scenario. What the test itself reads and writes is not affected by the faults of the scenario.
type stack struct {
	t        testing.TB
	dir      string
	redis    redis.UniversalClient
	s3       *storagetest.Server
	store    *storage.Store
	recorder *recorder
	sim      *simtest.Server
	keyset   *seal.Keyset
	client   *tasks.Client
	leaks    *leaks
	parked   parked
	pauses   []pauseSpan
	env      []string
	program  string // path of the kycq that startWorker and run start
	// vendorProxy is set by viaProxy.
	vendorProxy *proxy
	subscribed  string // the webhook endpoint; empty: there is none

	mu       sync.Mutex
	named    int
	accepted []job
	workers  []*process
}

// option changes the configuration of a stack.
type option func(*config)

type config struct {
	sim         simulator.Config
	redis       *redisServer
	redisProxy  *proxy
	redisTap    tapRule
	proxyVendor bool
	environment []string
}

// takesIDs sets when the vendor consumes an id: simulator.TakeOnArrival or TakeOnSuccess.
func takesIDs(when string) option { return func(p *config) { p.sim.TakeIDs = when } }

// withLatency sets the time in which the vendor answers.
func withLatency(latency time.Duration) option { return func(p *config) { p.sim.Latency = latency } }

// onRedis uses a Redis of the scenario's own, through a proxy unless that is nil.
func onRedis(server *redisServer, thru *proxy) option {
	return func(p *config) { p.redis, p.redisProxy = server, thru }
}

// withTap passes every command that a kycq of the stack sends to Redis to allow, and drops it if allow returns false.
func withTap(allow func(command []string) bool) option {
	return func(p *config) {
		p.redisTap = func(command []string) (string, bool) { return "", allow(command) }
	}
}

// withRedisClock sets the clock that every kycq of the stack reads from Redis, relative to this machine's.
func withRedisClock(off *atomic.Int64) option {
	return func(p *config) {
		p.redisTap = func(command []string) (string, bool) {
			if !strings.EqualFold(command[0], "time") {
				return "", true
			}
			now := time.Now().Add(time.Duration(off.Load()))
			seconds, micros := strconv.FormatInt(now.Unix(), 10), strconv.Itoa(now.Nanosecond()/1000)
			return fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(seconds), seconds, len(micros), micros), false
		}
	}
}

// withEnv sets variables (NAME=value) for every kycq of the stack.
func withEnv(variables ...string) option {
	return func(p *config) { p.environment = append(p.environment, variables...) }
}

const clientID = "specimen"

func newStack(t testing.TB, options ...option) *stack {
	t.Helper()
	p := &config{sim: simulator.Config{ClientID: clientID, ClientSecret: canarySecret, Masker: mask}}
	for _, set := range options {
		set(p)
	}
	masked() // takes a while: not during a call
	program, err := binary()
	check(t, err)
	s := &stack{t: t, dir: t.TempDir(), recorder: newRecorder(), program: program}
	server := storagetest.StartMinIO(t)
	server.Use(s.recorder.intercept)
	s.s3, s.store = server, server.Store(t)
	s.sim = simtest.Start(t, p.sim)

	direct := p.directRedis(t)
	s.redis = openRedis(t, direct)
	s.keyset, err = seal.Generate()
	check(t, err)
	s.client, err = tasks.NewClient(tasks.ClientConfig{Redis: s.redis, Ledger: s.store, Keyset: s.keyset})
	check(t, err)
	s.env = s.environment(p, server.Config(), direct)
	t.Cleanup(s.keepLogs)
	s.leaks = watchLeaks(t, s)
	return s
}

func (p *config) directRedis(t testing.TB) string {
	t.Helper()
	if p.redis == nil {
		return testenv.Redis(t)
	}
	return "redis://" + p.redis.addr + "/0"
}

// redisURL is the URL for the stack's programs of the Redis that the test itself reaches at direct.
func (p *config) redisURL(t testing.TB, direct string) string {
	t.Helper()
	u, err := url.Parse(direct)
	check(t, err)
	switch {
	case p.redisProxy != nil:
		u.Host = p.redisProxy.addr
	case p.redisTap != nil:
		u.Host = startTap(t, u.Host, p.redisTap)
	}
	return u.String()
}

// environment is the environment of every kycq of the stack. Timeouts are short and rates high, to save time; scenarios may set
// others.
func (s *stack) environment(p *config, cfg storage.Config, direct string) []string {
	s.t.Helper()
	doc, err := s.keyset.Marshal()
	check(s.t, err)
	path := filepath.Join(s.dir, "keyset.json")
	check(s.t, os.WriteFile(path, doc, 0o600))
	vendor, host := s.sim.URL, s.sim.Host
	if p.proxyVendor {
		s.vendorProxy = startProxy(s.t, s.sim.Host)
		host = s.vendorProxy.addr
		vendor = (&url.URL{Scheme: "http", Host: host, Path: "/verification"}).String()
	}
	return append(append(baseEnvironment(),
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

// baseEnvironment is the test's own environment without the settings of kycq.
func baseEnvironment() []string {
	var plain []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "KYCQ_") {
			plain = append(plain, variable)
		}
	}
	return plain
}

// viaProxy puts a proxy (stack.vendorProxy) between the workers and the vendor.
func viaProxy(p *config) { p.proxyVendor = true }

// startWorker starts a worker, with additional variables.
func (s *stack) startWorker(variables ...string) *process {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	name := fmt.Sprintf("worker-%d", len(s.workers)+1)
	env := append(append([]string(nil), s.env...), "AWS_SDK_UA_APP_ID="+name) // the recorder reads it
	w := launch(s.t, s.dir, s.program, append(env, variables...), nil, "worker")
	w.name = name
	s.workers = append(s.workers, w)
	return w
}

// run runs a command.
func (s *stack) run(stdin string, args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.program, args...)
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

// record is the current record of a job in S3, or nil.
func (s *stack) record(j job) *storage.Record {
	if h := s.recorder.history(j); len(h) > 0 {
		return &h[len(h)-1].rec
	}
	return nil
}

// finished counts the jobs with a final record.
func (s *stack) finished() int {
	return count(s.jobs(), func(j job) bool {
		rec := s.record(j)
		return rec != nil && rec.State.Final()
	})
}

// unfinished lists the jobs without one.
func (s *stack) unfinished() []job {
	var open []job
	for _, j := range s.jobs() {
		if rec := s.record(j); rec == nil || !rec.State.Final() {
			open = append(open, j)
		}
	}
	return open
}

// isSent reports whether a call of the job may be in flight.
func (s *stack) isSent(j job) bool {
	rec := s.record(j)
	return rec != nil && rec.State == storage.StateSent
}

// ledger lists the requests that reached the vendor, the oldest first.
func (s *stack) ledger() []simulator.LedgerEntry { return s.sim.Entries(s.t) }

// charges counts the calls that were charged so far.
func (s *stack) charges() int { return s.sim.Sim.State().Charged }
