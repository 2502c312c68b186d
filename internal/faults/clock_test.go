package faults

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/clocks"
	"github.com/kycq/kycq/tasks"
)

// TestClockWrong has a worker start one minute ahead of Redis and S3: it takes no jobs. Once it is ahead of Redis only, it goes
// on by itself, and kycq doctor and a metric name Redis.
func TestClockWrong(t *testing.T) {
	t.Parallel()
	runClockWrong(t, false)
}

// TestSoakClockWrong continues: the clock becomes wrong while jobs are processed, and right again.
func TestSoakClockWrong(t *testing.T) {
	t.Parallel()
	soak(t)
	runClockWrong(t, true)
}

func runClockWrong(t *testing.T, again bool) {
	t.Helper()
	var redisOff atomic.Int64
	s := newStack(t, withRedisClock(&redisOff), atRate("5/s"))
	redisOff.Store(-int64(time.Minute))
	s.s3.Advance(-time.Minute)
	s.enqueueKind(6, tasks.Passport, tasks.Live)
	w := s.startWorker()
	s.verifyIdle(w, 0)
	s.verifyDoctor("ahead: a worker here takes no jobs")
	s.s3.Advance(time.Minute)
	until(t, "the worker goes on", func() bool { return len(s.unfinished()) == 0 && w.get("/readyz") == "ready" })
	s.verifyDoctor("the clock of Redis is ")
	for server, want := range map[string]float64{clocks.Redis: 60, clocks.S3: 0} {
		if got := w.metric(fmt.Sprintf("kycq_clock_offset_seconds{server=%q}", server)); math.Abs(got-want) > clocks.MaxOffset.Seconds() {
			t.Errorf("%.1f s ahead of %s, want %.0f s", got, server, want)
		}
	}
	if again {
		s.enqueueKind(600, tasks.Passport, tasks.Live) // two minutes of calls
		s.s3.Advance(-time.Minute)
		until(t, "the worker notices it", func() bool { return w.get("/readyz") != "ready" })
		until(t, "no call is in flight", func() bool { return count(s.unfinished(), s.isSent) == 0 })
		s.verifyIdle(w, len(s.ledger()))
		redisOff.Store(0)
		s.s3.Advance(time.Minute)
	}
	redisOff.Store(0)
	s.verify(noLoss)
	s.verifyCalls(1)
}

// verifyIdle checks that a worker is not ready, and has made no more calls five seconds later.
func (s *stack) verifyIdle(w *process, calls int) {
	s.t.Helper()
	until(s.t, "the worker takes no jobs", func() bool {
		return strings.Contains(w.output(), "takes no jobs until its clock is right") || len(s.ledger()) > calls
	})
	began := time.Now()
	until(s.t, "some time has passed", func() bool { return time.Since(began) > 5*time.Second })
	until(s.t, "the worker says that its clock is wrong", func() bool {
		text := w.get("/readyz")
		if text == "ready" {
			s.t.Fatal("it is ready with a wrong clock")
		}
		return strings.Contains(text, "the clock of this machine differs from those of Redis (+")
	})
	between(s.t, "calls", len(s.ledger()), calls, calls)
}

func (s *stack) verifyDoctor(text string) {
	s.t.Helper()
	until(s.t, "kycq doctor says that "+text, func() bool { // a busy machine may keep it from measuring
		out, _, _ := s.run("", "doctor")
		return strings.Contains(out, text)
	})
}

// get requests a path of a worker's admin listener.
func (p *process) get(path string) string {
	p.t.Helper()
	found := regexp.MustCompile(`"address":"([^"]+)"`).FindStringSubmatch(p.output())
	if found == nil {
		return ""
	}
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+found[1]+path, nil)
	check(p.t, err)
	resp, err := http.DefaultClient.Do(req)
	check(p.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	check(p.t, err)
	return strings.TrimSpace(string(text))
}

// metric is the value of a metric of a worker.
func (p *process) metric(name string) float64 {
	p.t.Helper()
	for line := range strings.Lines(p.get("/metrics")) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			check(p.t, err)
			return n
		}
	}
	p.t.Errorf("no metric %s", name)
	return 0
}
