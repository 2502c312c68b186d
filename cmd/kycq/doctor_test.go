package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/dev/simulator"
	"github.com/kycq/kycq/internal/dev/simulator/simtest"
	"github.com/kycq/kycq/internal/doctor"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/testenv"
	"github.com/kycq/kycq/storage/storagetest"
)

// installation is a working set of servers and settings, in which a test breaks one thing.
type installation struct {
	redis *redis.Client
	store *storagetest.Server
	sim   *simtest.Server
	env   map[string]string
}

const workersSeen = "kycq:{account}:workers:seen"

func newInstallation(t *testing.T, store *storagetest.Server) *installation {
	t.Helper()
	p := &installation{redis: startRedis(t), store: store, sim: simtest.Start(t, simulator.Config{ClientID: "sim", ClientSecret: "specimen"})}
	store.Store(t)
	if err := redisx.Heartbeat(t.Context(), p.redis, redisx.Worker{ID: "one", Host: "specimen"}); err != nil {
		t.Fatal(err)
	}
	later := float64(time.Now().Add(time.Hour).Unix()) // however long the test takes, the worker is alive
	if err := p.redis.ZAdd(t.Context(), workersSeen, redis.Z{Score: later, Member: "one"}).Err(); err != nil {
		t.Fatal(err)
	}
	keyset := filepath.Join(t.TempDir(), "keyset.json")
	if err := writeTestKeyset(keyset); err != nil {
		t.Fatal(err)
	}
	cfg := store.Config()
	p.env = map[string]string{
		"KYCQ_REDIS_URL": "redis://" + p.redis.Options().Addr + "/0", "KYCQ_KEYSET_FILE": keyset,
		"KYCQ_S3_ENDPOINT": cfg.Endpoint, "KYCQ_S3_REGION": cfg.Region,
		"KYCQ_S3_INBOX_BUCKET": cfg.InboxBucket, "KYCQ_S3_MASKED_BUCKET": cfg.MaskedBucket, "KYCQ_S3_RECORDS_BUCKET": cfg.RecordsBucket,
		"KYCQ_CASHFREE_URL": p.sim.URL, "KYCQ_CASHFREE_CLIENT_ID": "sim", "KYCQ_CASHFREE_CLIENT_SECRET": "specimen",
	}
	return p
}

// startRedis starts a server with the recommended settings, which the test changes.
func startRedis(t *testing.T) *redis.Client {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		if testenv.Required(testenv.RealRedis) {
			t.Fatal("KYCQ_TEST_REQUIRE lists redis, but there is no redis-server")
		}
		t.Skip("this test changes settings that only a real Redis has: install redis-server, or run make test")
	}
	address := testenv.FreeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	cmd := exec.Command(program, "--bind", "127.0.0.1", "--port", port, "--dir", t.TempDir(), "--save", "",
		"--appendonly", "yes", "--maxmemory-policy", "noeviction", "--databases", "1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: address})
	t.Cleanup(func() {
		_ = client.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(20 * time.Second); client.Ping(t.Context()).Err() != nil; {
		if time.Now().After(deadline) {
			t.Fatal("redis-server does not answer")
		}
		<-time.After(20 * time.Millisecond)
	}
	return client
}

// command is the program in a process of its own: the AWS SDK reads the environment.
func (p *installation) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cfg := p.store.Config()
	cmd := exec.Command("kycq", args...)
	cmd.Env = []string{
		"AWS_ACCESS_KEY_ID=" + cfg.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + cfg.SecretAccessKey.Reveal(),
		"AWS_EC2_METADATA_DISABLED=true", "HOME=" + t.TempDir(),
	}
	for name, value := range p.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// kycq runs the program until it exits.
func (p *installation) kycq(t *testing.T, stdin string, args ...string) (stdout []byte, code int) {
	t.Helper()
	cmd := p.command(t, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	stdout, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if errs.Len() > 0 {
		t.Logf("stderr: %s", errs.String())
	}
	return stdout, cmd.ProcessState.ExitCode()
}

// examine runs doctor and returns its exit code and the findings that are not ok.
func (p *installation) examine(t *testing.T) (code int, complaints map[string]doctor.Finding) {
	t.Helper()
	out, code := p.kycq(t, "", "doctor", "--json")
	var answer struct {
		OK     bool
		Checks []doctor.Finding
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if answer.OK != (code == cli.ExitOK) {
		t.Errorf("ok is %t, the exit code %d", answer.OK, code)
	}
	complaints = map[string]doctor.Finding{}
	for _, f := range answer.Checks {
		lacking := f.Status == doctor.Warning && strings.HasSuffix(f.Check, "-retention") // the fake has neither tags nor lifecycle rules
		if f.Status != doctor.OK && f.Status != doctor.Skipped && !lacking {
			complaints[f.Check] = f
		}
		if f.Status == doctor.Failure && (f.Fix == "" || f.Cause == "") {
			t.Errorf("%s says nothing about the fix or the cause: %+v", f.Check, f)
		}
	}
	return code, complaints
}

// opened lets everybody read a bucket of the fake, which refuses requests without credentials.
func opened(bucket string) storagetest.Intercept {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.HasPrefix(r.URL.Path, "/"+bucket) && r.Header.Get("Authorization") == "" {
			r.Header.Set("Authorization", "everybody")
		}
		next.ServeHTTP(w, r)
	}
}

// requiringEncryption refuses writes that do not ask for encryption with a key.
func requiringEncryption(w http.ResponseWriter, r *http.Request, next http.Handler) {
	asked := r.Header.Get("X-Amz-Server-Side-Encryption") + " " + r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id")
	if r.Method == http.MethodPut && asked != "aws:kms specimen-key" && r.URL.Query().Get("partNumber") == "" {
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprint(w, `<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>`)
		return
	}
	next.ServeHTTP(w, r)
}

// refusingSkew answers as S3 does to a clock that is more than 15 minutes off.
func refusingSkew(ahead time.Duration) storagetest.Intercept {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		theirs := time.Now().Add(ahead)
		if err == nil && theirs.Sub(signed).Abs() > 15*time.Minute {
			w.Header().Set("Date", theirs.UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprint(w, `<?xml version="1.0"?><Error><Code>RequestTimeTooSkewed</Code></Error>`)
			return
		}
		next.ServeHTTP(w, r)
	}
}

// Each case breaks one thing.
func TestDoctorReportsOneFindingPerFault(t *testing.T) {
	t.Parallel()
	set := func(name, value string) func(*testing.T, *installation) {
		return func(_ *testing.T, p *installation) { p.env[name] = value }
	}
	config := func(name, value string) func(*testing.T, *installation) {
		return func(t *testing.T, p *installation) {
			if err := p.redis.ConfigSet(t.Context(), name, value).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		harm  func(*testing.T, *installation)
		code  int
		check string
		says  string
	}{
		"nothing":           {func(*testing.T, *installation) {}, cli.ExitOK, "", ""},
		"Redis down":        {set("KYCQ_REDIS_URL", "redis://127.0.0.1:1/0"), cli.ExitUnreachable, "redis", "start Redis"},
		"allkeys-lru":       {config("maxmemory-policy", "allkeys-lru"), cli.ExitFailure, "redis-eviction", "noeviction"},
		"no AOF":            {config("appendonly", "no"), cli.ExitOK, "redis-persistence", "appendonly yes"},
		"Redis nearly full": {config("maxmemory", "1100000"), cli.ExitFailure, "redis-memory", "raise maxmemory"},
		"no worker": {func(t *testing.T, p *installation) {
			if err := p.redis.Del(t.Context(), workersSeen).Err(); err != nil {
				t.Fatal(err)
			}
		}, cli.ExitOK, "workers", "kycq worker"},
		"encryption is required": {func(_ *testing.T, p *installation) { p.store.Use(requiringEncryption) }, cli.ExitCredentials, "s3", "KYCQ_S3_SSE"},
		"encryption is required and asked for": {func(_ *testing.T, p *installation) {
			p.store.Use(requiringEncryption)
			p.env["KYCQ_S3_SSE"], p.env["KYCQ_S3_SSE_KMS_KEY"] = "aws:kms", "specimen-key"
		}, cli.ExitOK, "", ""},
		"proxy that is not there": {func(_ *testing.T, p *installation) {
			p.env["KYCQ_IMAGE_PROXY"], p.env["KYCQ_IMAGE_HOSTS"] = "http://127.0.0.1:1", "images.example"
		}, cli.ExitUnreachable, "image-links", "images.example"},
		"missing bucket":                 {set("KYCQ_S3_MASKED_BUCKET", "kycq-missing"), cli.ExitFailure, "s3-masked", "kycq storage init"},
		"store down":                     {set("KYCQ_S3_ENDPOINT", "http://127.0.0.1:1"), cli.ExitUnreachable, "s3", "KYCQ_S3_ENDPOINT"},
		"wrong client secret":            {set("KYCQ_CASHFREE_CLIENT_SECRET", "wrong"), cli.ExitCredentials, "cashfree", "valid client id"},
		"secret of the test environment": {set("KYCQ_CASHFREE_CLIENT_SECRET", "TESTspecimen"), cli.ExitCredentials, "cashfree", "this environment"},
		"IP not allowed": {func(t *testing.T, p *installation) {
			resp, err := http.Post(p.sim.ControlURL+"/ips", "application/json", strings.NewReader(`{"allowed":["10.0.0.0/8"]}`))
			if err != nil || resp.StatusCode >= http.StatusBadRequest {
				t.Fatal(resp, err)
			}
			_ = resp.Body.Close()
		}, cli.ExitCredentials, "cashfree", "whitelist"},
		"Cashfree down":     {set("KYCQ_CASHFREE_URL", "http://127.0.0.1:1/verification"), cli.ExitUnreachable, "cashfree", "network"},
		"not Cashfree":      {func(_ *testing.T, p *installation) { p.env["KYCQ_CASHFREE_URL"] = p.sim.URL + "/nowhere" }, cli.ExitUsage, "cashfree", "/verification"},
		"missing keyset":    {set("KYCQ_KEYSET_FILE", ""), cli.ExitUsage, "keyset", "kycq keys generate"},
		"another keyset":    {useAnotherKeyset, cli.ExitUsage, "keyset-queues", "kycq keys status"},
		"misspelt variable": {set("KYCQ_REDIS_ULR", "redis://elsewhere:6379/0"), cli.ExitUsage, "settings", "KYCQ_REDIS_URL"},
		"value and its file": {func(_ *testing.T, p *installation) {
			p.env["KYCQ_CASHFREE_CLIENT_SECRET_FILE"] = p.env["KYCQ_KEYSET_FILE"]
		}, cli.ExitUsage, "settings", "keep one"},
		"Redis of others": {func(t *testing.T, p *installation) {
			if err := p.redis.Set(t.Context(), "kycq:{gate}:installation", "theirs", 0).Err(); err != nil {
				t.Fatal(err)
			}
		}, cli.ExitUsage, "installation", "kycq storage adopt --reason TEXT"},
		"buckets of the sandbox": {tiedTo(`"vendor_host":"sandbox.cashfree.com:443"`), cli.ExitUsage, "installation", "use other buckets"},
		"damaged installation":   {tiedTo(`"redis":""`), cli.ExitFailure, "installation", "newest kycq"},
		"unknown time zone":      {set("TZ", "Asia/Calcuta"), cli.ExitOK, "time-zone", "Asia/Kolkata"},
		"clock 20 minutes off": {func(_ *testing.T, p *installation) {
			p.store.Advance(20 * time.Minute)
			p.store.Use(refusingSkew(20 * time.Minute))
		}, cli.ExitFailure, "clock", "NTP"},
		"clock a minute off": {func(_ *testing.T, p *installation) { p.store.Advance(-time.Minute) }, cli.ExitOK, "clock", "NTP"},
		"public bucket":      {func(_ *testing.T, p *installation) { p.store.Use(opened(p.env["KYCQ_S3_MASKED_BUCKET"])) }, cli.ExitFailure, "s3-masked", "open to everybody"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newInstallation(t, storagetest.StartFake(t))
			c.harm(t, p)
			code, complaints := p.examine(t)
			wantOnly(t, complaints, c.check, c.says)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
		})
	}
}

// Only a real store checks credentials.
func TestDoctorReportsAWrongS3Key(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{"AWS_SECRET_ACCESS_KEY": "wrong", "AWS_ACCESS_KEY_ID": "nobody"} {
		p := newInstallation(t, storagetest.StartMinIO(t))
		if code, complaints := p.examine(t); code != cli.ExitOK || len(complaints) > 0 {
			t.Fatalf("exit code %d, %+v", code, complaints)
		}
		p.env[name] = value
		code, complaints := p.examine(t)
		wantOnly(t, complaints, "s3", name)
		if code != cli.ExitCredentials {
			t.Errorf("exit code %d", code)
		}
	}
}

func wantOnly(t *testing.T, complaints map[string]doctor.Finding, check, says string) {
	t.Helper()
	for name, f := range complaints {
		switch {
		case name != check:
			t.Errorf("it complains of %s too: %+v", name, f)
		case !strings.Contains(f.Message+": "+f.Fix, says):
			t.Errorf("%+v lacks %q", f, says)
		}
	}
	if _, ok := complaints[check]; !ok && check != "" {
		t.Errorf("it does not complain of %s", check)
	}
}

// useAnotherKeyset enqueues a job and replaces the keyset.
func useAnotherKeyset(t *testing.T, p *installation) {
	t.Helper()
	const job = `{"verification_id":"A1","file_number":"SPECIMEN00001","dob":"1990-01-31"}`
	if _, code := p.kycq(t, job, "enqueue", "passport", "-"); code != cli.ExitOK {
		t.Fatalf("enqueue: exit code %d", code)
	}
	keyset := filepath.Join(t.TempDir(), "other.json")
	if err := writeTestKeyset(keyset); err != nil {
		t.Fatal(err)
	}
	p.env["KYCQ_KEYSET_FILE"] = keyset
}

// tiedTo puts an installation into the records bucket, with another value of a field.
func tiedTo(field string) func(*testing.T, *installation) {
	return func(t *testing.T, p *installation) {
		t.Helper()
		text := `{"version":1,"redis":"theirs",` + field + `}`
		if _, err := p.store.Open(t).Buckets().Records.Create(t.Context(), "installation.json", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
}
