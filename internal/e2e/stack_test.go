package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/testenv"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
)

// canary is part of every secret and personal field in these tests. It must not be readable anywhere.
const canary = "CANARYBIRD"

// stack is one installation of kycq: a Redis database, three buckets, a keyset and a vendor.
type stack struct {
	t      testing.TB
	vendor *vendor
	s3     *storagetest.Server
	store  *storage.Store
	env    []string
	dir    string
}

func newStack(t testing.TB) *stack {
	t.Helper()
	redisURL := testenv.Redis(t)
	s3 := storagetest.StartMinIO(t)
	cfg := s3.Config()
	s := &stack{t: t, vendor: startVendor(t), s3: s3, store: s3.Store(t), dir: t.TempDir()}
	keyset := filepath.Join(s.dir, "keyset.json")
	s.env = append(os.Environ(),
		"KYCQ_REDIS_URL="+redisURL, "KYCQ_ALLOW_VOLATILE_REDIS=true",
		"KYCQ_S3_ENDPOINT="+cfg.Endpoint, "KYCQ_S3_REGION="+cfg.Region, "KYCQ_S3_INBOX_BUCKET="+cfg.InboxBucket,
		"KYCQ_S3_MASKED_BUCKET="+cfg.MaskedBucket, "KYCQ_S3_RECORDS_BUCKET="+cfg.RecordsBucket,
		"AWS_ACCESS_KEY_ID="+cfg.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+cfg.SecretAccessKey.Reveal(),
		"KYCQ_CASHFREE_URL="+s.vendor.server.URL, "KYCQ_IMAGE_HOSTS="+strings.TrimPrefix(s.vendor.server.URL, "http://"),
		"KYCQ_CASHFREE_CLIENT_ID=specimen", "KYCQ_CASHFREE_CLIENT_SECRET="+canary+"secret",
		"KYCQ_CASHFREE_TIMEOUT=3s", "KYCQ_KEYSET_FILE="+keyset, "KYCQ_LISTEN=127.0.0.1:0",
		"KYCQ_AADHAAR_RATE=100/s", "KYCQ_PASSPORT_RATE=100/s", "KYCQ_RETRY_BASE=100ms", "KYCQ_RETRY_MAX=300ms",
		"KYCQ_MAX_ATTEMPTS=3", "KYCQ_LOG_FORMAT=json",
	)
	out, _, _ := s.run(nil, "keys", "generate")
	if err := os.WriteFile(keyset, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run(nil, "storage", "init")
	return s
}

// with is the same installation for processes with other settings.
func (s *stack) with(settings ...string) *stack {
	other := *s
	other.env = append(slices.Clone(s.env), settings...) // the last value of a variable is used
	return &other
}

// setting is the value of an environment variable for the processes.
func (s *stack) setting(name string) string {
	s.t.Helper()
	for _, kv := range slices.Backward(s.env) {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	s.t.Fatalf("%s is not set", name)
	return ""
}

// run runs a command.
func (s *stack) run(stdin []byte, args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var out, err bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = s.env, bytes.NewReader(stdin), &out, &err
	_ = cmd.Run()
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}

// process is a running kycq.
type process struct {
	cmd *exec.Cmd
	log string // the file of its output
}

// start starts kycq. It is killed at the end of the test.
func (s *stack) start(args ...string) *process {
	s.t.Helper()
	return s.startProgram(binary, args...)
}

func (s *stack) startProgram(program string, args ...string) *process {
	s.t.Helper()
	log, err := os.CreateTemp(s.dir, "worker-*.log")
	if err != nil {
		s.t.Fatal(err)
	}
	p := &process{cmd: exec.CommandContext(context.Background(), program, args...), log: log.Name()}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = s.env, log, log
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	_ = log.Close()
	s.t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
		if text := p.read(s.t); s.t.Failed() {
			s.t.Logf("%v:\n%s", args, text)
		} else if strings.Contains(text, canary) {
			s.t.Errorf("a canary is readable in the log of %v", args)
		}
	})
	return p
}

func (p *process) read(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(p.log)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// terminate sends SIGTERM and waits until the process has exited.
func (p *process) terminate(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(time.Minute, func() {
		t.Error("a terminated worker did not exit within a minute")
		_ = p.cmd.Process.Kill()
	})
	defer kill.Stop()
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("a terminated worker exited with %v", err)
	}
}

// wait waits for the final record of a job.
func (s *stack) wait(kind, id string) *storage.Record {
	s.t.Helper()
	out, stderr, _ := s.run(nil, "job", "wait", id, "--kind", kind, "--json", "--timeout", "90s")
	var rec storage.Record
	if err := json.Unmarshal([]byte(out), &rec); err != nil {
		s.t.Fatalf("job wait %s: %v\n%s%s", id, err, out, stderr)
	}
	return &rec
}

// enqueuePassports enqueues one job for each id, with one command.
func (s *stack) enqueuePassports(ids ...string) {
	s.t.Helper()
	var lines bytes.Buffer
	for _, id := range ids {
		lines.WriteString(`{"verification_id":"` + id + `","file_number":"` + canary + `00001","dob":"1990-01-31","name":"` + canary + ` Person"}` + "\n")
	}
	if out, stderr, code := s.run(lines.Bytes(), "enqueue", "passport", "-"); code != 0 {
		s.t.Fatalf("enqueue: exit code %d\n%s%s", code, out, stderr)
	}
}

func (s *stack) enqueueAadhaar(id string) {
	s.t.Helper()
	path := filepath.Join(s.dir, "card.jpg")
	if err := os.WriteFile(path, cardJPEG(), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if out, stderr, code := s.run(nil, "enqueue", "aadhaar", "--id", id, "--image", path); code != 0 {
		s.t.Fatalf("enqueue: exit code %d\n%s%s", code, out, stderr)
	}
}
