package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/testenv"
)

// useOwnRedis gives the installation a Redis with an append-only file, and returns a function that reads the file.
func (s *stack) useOwnRedis(t *testing.T) (aof func() []byte) {
	t.Helper()
	dir, address := t.TempDir(), testenv.FreeAddress(t)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	server := exec.CommandContext(context.Background(), "redis-server", "--bind", host, "--port", port,
		"--dir", dir, "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction")
	if err := server.Start(); err != nil {
		t.Fatalf("start redis-server: %v", err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		_ = server.Wait()
	})
	s.env = append(s.env, "KYCQ_REDIS_URL=redis://"+address+"/0")
	client := s.redisClient(t)
	defer func() { _ = client.Close() }()
	eventually(t, func() bool { return client.Ping(context.Background()).Err() == nil })
	return func() []byte { return readAOF(t, dir) }
}

// readAOF reads the append-only file. It fails if that holds no job payload: every test enqueues one.
func readAOF(t *testing.T, dir string) []byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.aof"))
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, file := range append(files, filepath.Join(dir, "appendonly.aof")) { // the latter is used before Redis 7
		text, err := os.ReadFile(file)
		if err == nil {
			all = append(all, text...)
		}
	}
	if !bytes.Contains(all, []byte("kq1.")) {
		t.Error("the append-only file holds no payload: the search proves nothing")
	}
	return all
}

// submitPassports submits a backfill with rows row-1, row-2, ...
func (s *stack) submitPassports(t *testing.T, rows int) {
	t.Helper()
	var csv bytes.Buffer
	csv.WriteString("verification_id,file_number,dob,name,branch of " + canary + "\n")
	for i := range rows {
		_, _ = fmt.Fprintf(&csv, "row-%d,%s%05d,1990-01-31,%s Person,%s Street\n", i+1, canary, i, canary, canary)
	}
	if out, stderr, code := s.run(csv.Bytes(), "batch", "submit", "passport", "-", "--name", "backfill"); code != 0 {
		t.Fatalf("batch submit: exit code %d\n%s%s", code, out, stderr)
	}
}

// commandLines returns the command lines of all processes of this binary, as ps shows them. One is a producer that reads stdin.
func commandLines(t *testing.T) []byte {
	t.Helper()
	producer := exec.CommandContext(t.Context(), binary, "enqueue", "passport", "-")
	stdin, err := producer.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := producer.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(stdin, `{"verification_id":"typed","file_number":"`+canary+`","name":"`+canary); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(files) == 0 {
		t.Skip("needs /proc of Linux")
	}
	var all []byte
	seen := false
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || !bytes.HasPrefix(text, []byte(binary)) {
			continue // another program, or a process that has exited
		}
		all = append(append(all, text...), '\n')
		seen = seen || strings.HasPrefix(file, fmt.Sprintf("/proc/%d/", producer.Process.Pid))
	}
	if !seen {
		t.Error("the producer was not found")
	}
	_ = stdin.Close()
	_ = producer.Wait() // its input is not JSON and it has no settings: it enqueues nothing
	return all
}

// searchPages searches the HTTP pages: health, metrics and goroutines of the worker, and the API of asynqmon.
func (s *stack) searchPages(t *testing.T, worker, dashboard *process) {
	t.Helper()
	base := worker.address(t)
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1", "/debug/pprof/cmdline"} {
		searchFor(t, "the worker's "+path, fetch(t, base+path))
	}
	base = dashboard.address(t) + "/asynqmon/api"
	tasks := 0
	for _, queue := range []string{"passport-live", "passport-bulk", "aadhaar-live", "aadhaar-bulk", "feed"} {
		for _, state := range []string{"active", "pending", "scheduled", "retry", "archived", "completed"} {
			path := "/queues/" + queue + "/" + state + "_tasks?page=1&size=100"
			page := fetch(t, base+path)
			searchFor(t, "asynqmon's "+path, page)
			tasks += bytes.Count(page, []byte(`"id":`))
		}
		path := "/queues/" + queue + "/tasks/fine"
		searchFor(t, "asynqmon's "+path, fetch(t, base+path))
	}
	if tasks == 0 {
		t.Error("asynqmon lists no task: the search proves nothing")
	}
	for _, path := range []string{"/queues", "/servers", "/schedulers", "/redis_info", "/queue_stats"} {
		searchFor(t, "asynqmon's "+path, fetch(t, base+path))
	}
}

func fetch(t *testing.T, url string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

var addressForm = regexp.MustCompile(`(?:http://)?(127\.0\.0\.1:[0-9]+)`)

// address is the URL at which a process listens, according to its log.
func (p *process) address(t *testing.T) string {
	t.Helper()
	var found []string
	eventually(t, func() bool {
		for line := range strings.Lines(p.read(t)) {
			if strings.Contains(line, `"address":`) || strings.Contains(line, "asynqmon") {
				if found = addressForm.FindStringSubmatch(line); found != nil {
					return true
				}
			}
		}
		return false
	})
	return "http://" + found[1]
}

// A worker that gets SIGQUIT prints all its goroutines, as after a fatal error of the runtime.
func TestCrashDumpHoldsNothingPersonal(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.vendor.served = make(chan struct{}, 64)
	release := make(chan struct{})
	defer close(release)
	s.vendor.plan("slow", func(http.ResponseWriter, *vendor, string) { <-release })
	s.enqueuePassports("slow")
	worker := s.with("GOTRACEBACK=crash", "KYCQ_LOG_LEVEL=debug").start("worker")
	<-s.vendor.served // the input is in memory
	if err := worker.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	_ = worker.cmd.Wait()
	dump := worker.read(t)
	if !strings.Contains(dump, "goroutine ") || !strings.Contains(dump, "VerifyPassport") {
		t.Fatalf("not a dump of a worker with a call in flight:\n%.2000s", dump)
	}
	searchFor(t, "the crash dump", []byte(dump))
}
