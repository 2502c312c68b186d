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

// canaries are texts that must not be readable in Redis, logs or records: personal fields, the vendor's secret, and a part of
// every image link. They are searched for in plain text and in base64.
var canaries = sync.OnceValue(func() []string {
	var all []string
	for _, text := range []string{canaryNumber, canaryName, canaryDOB, canarySecret, "/_images/"} {
		all = append(all, text)
		for shift := range 3 {
			padded := base64.RawURLEncoding.EncodeToString([]byte("xx"[:shift] + text))
			whole := len(padded) - 1 // without the characters that depend on the text before and after
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

// leaks searches Redis periodically while a scenario runs: what leaks may be gone at its end.
type leaks struct {
	s        *stack
	mu       sync.Mutex
	found    map[string]string // canary by key
	searches int
	keys     int
}

const leakInterval = 2 * time.Second

func watchLeaks(t testing.TB, s *stack) *leaks {
	l := &leaks{s: s, found: map[string]string{}}
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			l.search(ctx)
			s.parked.search(ctx, s)
			select {
			case <-time.After(leakInterval):
			case <-ctx.Done():
			}
		}
	})
	t.Cleanup(func() { stop(); done.Wait() })
	return l
}

// search reads every key and value. A Redis that is down is skipped.
func (l *leaks) search(ctx context.Context) {
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
	l.searches++
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
		if canary, ok := findCanary(value.String()); ok { // the command with its key, and the reply
			l.found[key] = canary
		}
	}
}

// verify fails the test for every canary seen in Redis, a log or a record.
func (l *leaks) verify(t testing.TB) {
	t.Helper()
	l.search(t.Context())
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == 0 {
		t.Errorf("%d searches for leaks found no key in Redis", l.searches)
	}
	for key, canary := range l.found {
		t.Errorf("leak: %q is readable in Redis, key %s", canary, key)
	}
	for _, w := range l.s.workers {
		if canary, ok := findCanary(w.output()); ok {
			t.Errorf("leak: %q is readable in a worker's log", canary)
		}
	}
	for _, j := range l.s.jobs() {
		for _, w := range l.s.recorder.history(j) {
			text, err := w.rec.MarshalJSON()
			check(t, err)
			if canary, ok := findCanary(string(text)); ok {
				t.Errorf("leak: %q is readable in the record of %s %s", canary, j.kind, j.id)
			}
		}
	}
}

// keepLogs copies the logs of a failed scenario to the folder KYCQ_FAULTS_KEEP.
func (s *stack) keepLogs() {
	dir := os.Getenv("KYCQ_FAULTS_KEEP")
	if dir == "" || !s.t.Failed() {
		return
	}
	to := dir + "/" + strings.NewReplacer("/", "_", " ", "_").Replace(s.t.Name())
	if err := os.CopyFS(to, os.DirFS(s.dir)); err != nil {
		s.t.Logf("copy the logs: %v", err)
	}
}
