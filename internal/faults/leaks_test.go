package faults

import (
	"context"
	"encoding/base64"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// canaries are the texts that must not be readable in Redis (queues, payloads, errors of tasks, and whatever else) or in
// a log: the fields of people, the vendor's secret, and what every image link holds. They are looked for as they are and
// in base64, which is no sealing.
var canaries = sync.OnceValue(func() []string {
	var all []string
	for _, text := range []string{canaryNumber, canaryName, canaryDOB, canarySecret, "/_images/"} {
		all = append(all, text)
		for shift := range 3 {
			padded := base64.RawURLEncoding.EncodeToString([]byte("xx"[:shift] + text))
			whole := len(padded) - 1 // what the neighbours do not change
			all = append(all, padded[(shift*8+5)/6:whole])
		}
	}
	return all
})

func findCanary(text string) (string, bool) {
	for _, c := range canaries() {
		if strings.Contains(text, c) {
			return c, true
		}
	}
	return "", false
}

// leaks looks through Redis again and again while a scenario runs, since what leaks may be gone at its end.
type leaks struct {
	s     *stack
	mu    sync.Mutex
	found map[string]string // canary by key
	looks int
	keys  int
}

const lookForLeaks = 2 * time.Second

func watchLeaks(t testing.TB, s *stack) *leaks {
	l := &leaks{s: s, found: map[string]string{}}
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			l.look(ctx)
			select {
			case <-time.After(lookForLeaks):
			case <-ctx.Done():
			}
		}
	})
	t.Cleanup(func() { stop(); done.Wait() })
	return l
}

// look reads every key and value. A Redis that is down has nothing to read.
func (l *leaks) look(ctx context.Context) {
	const batch = 500
	seen := 0
	for cursor, more := uint64(0), true; more; more = cursor != 0 {
		var keys []string
		var err error
		if keys, cursor, err = l.s.redis.Scan(ctx, cursor, "*", batch).Result(); err != nil {
			break
		}
		seen += len(keys)
		l.read(ctx, keys)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.looks++
	l.keys += seen
}

func (l *leaks) read(ctx context.Context, keys []string) {
	types := make([]*redis.StatusCmd, len(keys))
	_, _ = l.s.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, key := range keys {
			types[i] = p.Type(ctx, key)
		}
		return nil
	})
	values := map[string]redis.Cmder{}
	_, _ = l.s.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, key := range keys {
			switch {
			case key == filler:
			case types[i].Val() == "string":
				values[key] = p.Get(ctx, key)
			case types[i].Val() == "hash":
				values[key] = p.HGetAll(ctx, key)
			case types[i].Val() == "list":
				values[key] = p.LRange(ctx, key, 0, -1)
			case types[i].Val() == "set":
				values[key] = p.SMembers(ctx, key)
			case types[i].Val() == "zset":
				values[key] = p.ZRange(ctx, key, 0, -1)
			}
		}
		return nil
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, value := range values {
		if canary, ok := findCanary(value.String()); ok { // the command, with its key, and its answer
			l.found[key] = canary
		}
	}
}

// judge fails the test for every canary seen in Redis, a log or a record.
func (l *leaks) judge(t testing.TB) {
	t.Helper()
	l.look(t.Context())
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == 0 {
		t.Errorf("no key was seen in Redis in %d looks: the search for leaks has searched nothing", l.looks)
	}
	for key, canary := range l.found {
		t.Errorf("leak: %q is readable in Redis, key %s", canary, key)
	}
	for _, w := range l.s.workers {
		if canary, ok := findCanary(w.output()); ok {
			t.Errorf("leak: %q is in a worker's log", canary)
		}
	}
	for _, j := range l.s.jobs() {
		for _, w := range l.s.witness.history(j) {
			text, err := w.rec.MarshalJSON()
			check(t, err)
			if canary, ok := findCanary(string(text)); ok {
				t.Errorf("leak: %q is readable in the record of %s %s", canary, j.kind, j.id)
			}
		}
	}
}

// keepLogs puts the logs of a scenario that failed where KYCQ_FAULTS_KEEP says.
func (s *stack) keepLogs() {
	dir := os.Getenv("KYCQ_FAULTS_KEEP")
	if dir == "" || !s.t.Failed() {
		return
	}
	to := dir + "/" + strings.NewReplacer("/", "_", " ", "_").Replace(s.t.Name())
	if err := os.CopyFS(to, os.DirFS(s.dir)); err != nil {
		s.t.Logf("keep the logs: %v", err)
	}
}
