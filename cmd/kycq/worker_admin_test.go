package main

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kycq/kycq/storage/storagetest"
)

// runningWorker is a worker process and the address of its admin listener.
type runningWorker struct {
	*exec.Cmd
	address string
}

func startWorker(t *testing.T, p *installation) *runningWorker {
	t.Helper()
	address := freeAddress()
	p.env["KYCQ_LISTEN"] = address
	w := &runningWorker{Cmd: p.command(t, "worker"), address: address}
	log := &strings.Builder{}
	w.Stderr = log
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = w.Process.Kill()
		_ = w.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return w
}

// ask returns status 0 if the listener is closed.
func (w *runningWorker) ask(path string) (status int, body string) {
	resp, err := http.Get("http://" + w.address + path)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

func (w *runningWorker) becomes(t *testing.T, path string, status int) string {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; {
		got, body := w.ask(path)
		if got == status {
			return body
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is %d, want %d: %s", path, got, status, body)
		}
		<-time.After(50 * time.Millisecond)
	}
}

func TestAWorkerServesHealthAndMetricsUntilItStops(t *testing.T) {
	t.Parallel()
	p := newInstallation(t, storagetest.StartFake(t))
	w := startWorker(t, p)
	w.becomes(t, "/readyz", http.StatusOK)

	status, text := w.ask("/metrics")
	if status != http.StatusOK || !strings.Contains(text, "\nkycq_redis_up 1\n") {
		t.Fatalf("status %d: %s", status, text)
	}
	wantDocumented(t, text)
	wantExported(t, text)

	p.redis.ShutdownNoSave(t.Context())
	w.becomes(t, "/readyz", http.StatusServiceUnavailable)
	if status, _ := w.ask("/livez"); status != http.StatusOK {
		t.Errorf("/livez is %d without Redis", status)
	}
	if status, text := w.ask("/metrics"); status != http.StatusOK || !strings.Contains(text, "\nkycq_redis_up 0\n") {
		t.Errorf("/metrics is %d without Redis", status)
	}

	if err := w.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := w.Wait(); err != nil {
		t.Errorf("the worker ended with %v", err)
	}
}

// wantExported checks that a running worker exports what the alerts and the dashboard name, apart from what only a state or a
// real Redis shows. internal/e2e produces these.
func wantExported(t *testing.T, exported string) {
	t.Helper()
	later := []string{
		"kycq_hold_started_timestamp_seconds", "kycq_oldest_open_job_timestamp_seconds", "kycq_redis_memory_used_bytes",
		"kycq_redis_memory_max_bytes", "kycq_redis_persistence", "kycq_clock_offset_seconds", "kycq_open_batches", "kycq_open_jobs",
		"kycq_webhook_lag_seconds",
	}
	for _, file := range []string{"prometheus/kycq.rules.yaml", "grafana/kycq.json"} {
		text, err := os.ReadFile("../../deploy/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\b(?:kycq|asynq)_[a-z0-9_]+`).FindAllString(string(text), -1) {
			if !slices.Contains(later, name) && !regexp.MustCompile(`(?m)^`+name+`[ {]`).MatchString(exported) {
				t.Errorf("%s: a running worker does not export %s", file, name)
			}
		}
	}
}

// wantDocumented compares the exported metrics with the documentation.
func wantDocumented(t *testing.T, exported string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE ((?:kycq|asynq)_\S+) (\S+)$`).FindAllStringSubmatch(exported, -1) {
		if !strings.Contains(string(page), "| `"+m[1]+"` | "+m[2]+" |") {
			t.Errorf("docs/METRICS.md has no %s %s", m[2], m[1])
		}
	}
}
