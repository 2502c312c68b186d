package e2e

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/access"
	"github.com/kycq/kycq/internal/dev/miniousers"
	"github.com/kycq/kycq/internal/redact"
	"github.com/kycq/kycq/internal/testenv"
	"github.com/kycq/kycq/storage"
)

// roles gives each role the Redis user and the MinIO user of the files under deploy/.
func (s *stack) roles() (as map[access.Role]*stack) {
	s.t.Helper()
	ctx := context.Background()
	fail := func(err error) {
		if err != nil {
			s.t.Helper()
			s.t.Fatal(err)
		}
	}
	read := func(file string) string {
		text, err := os.ReadFile(filepath.Join("..", "..", "deploy", file))
		fail(err)
		return string(text)
	}
	options, err := redis.ParseURL(s.setting("KYCQ_REDIS_URL"))
	fail(err)
	rdb := redis.NewClient(options)
	s.t.Cleanup(func() { _ = rdb.Close() })
	server, err := url.Parse(testenv.S3(s.t))
	fail(err)
	password, _ := server.User.Password()
	admin, err := miniousers.New(server.String(), server.User.Username(), password)
	fail(err)
	names := strings.NewReplacer("kycq-inbox", s.s3.Config().InboxBucket, "kycq-masked", s.s3.Config().MaskedBucket, "kycq-records", s.s3.Config().RecordsBucket)
	as = map[access.Role]*stack{}
	for _, role := range access.Roles() {
		user := "t" + strings.ToLower(rand.Text()[:15])
		line := regexp.MustCompile(`(?m)^user kycq-` + string(role) + ` (.*)$`).FindStringSubmatch(read("redis/users.acl"))
		args := []any{"ACL", "SETUSER", user}
		for _, rule := range regexp.MustCompile(`\([^)]*\)|\S+`).FindAllString(line[1], -1) {
			args = append(args, rule)
		}
		fail(rdb.Do(ctx, append(args, ">specimen")...).Err())
		s.t.Cleanup(func() { rdb.Do(ctx, "ACL", "DELUSER", user) })
		fail(admin.Put(ctx, user, "specimen-secret", []byte(names.Replace(read("s3/"+string(role)+".json")))))
		as[role] = s.with("KYCQ_REDIS_URL="+fmt.Sprintf("redis://%s:specimen@%s/%d", user, options.Addr, options.DB),
			"AWS_ACCESS_KEY_ID="+user, "AWS_SECRET_ACCESS_KEY=specimen-secret")
	}
	return as
}

// must runs a command that has to succeed.
func (s *stack) must(args ...string) string {
	s.t.Helper()
	out, stderr, code := s.run(nil, args...)
	if code != 0 {
		s.t.Errorf("%v: exit code %d\n%s%s", args, code, out, stderr)
	}
	return out
}

// The users of deploy/ can do the whole work of their roles.
func TestEachRoleWorksWithItsOwnUsers(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	as := s.roles()
	operator, producer := as[access.Operator], as[access.Producer]
	s.vendor.plan("wrong", problem(400, "dob_value_invalid", "dob should be of type YYYY-MM-DD."))
	w := as[access.Worker].start("worker")
	producer.enqueuePassports("P-1", "wrong")
	producer.enqueueAadhaar("A-1")
	file := filepath.Join(s.dir, "people.csv")
	if err := os.WriteFile(file, []byte("verification_id,file_number,dob\nB-1,"+canary+"2,1990-02-17\nB-2,"+canary+"3,1990-02-17\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	batch := regexp.MustCompile(`trial-[0-9a-f]{8}`).FindString(producer.must("batch", "submit", "passport", file, "--name", "trial", "--wait"))
	for _, id := range []string{"P-1", "wrong"} {
		producer.wait("passport", id)
	}
	producer.wait("aadhaar", "A-1")
	eventually(t, func() bool { return !operator.wait("aadhaar", "A-1").UploadDeletedAt.IsZero() })

	for _, command := range []string{
		"fleet pause --reason trial", "fleet resume", "fleet rate passport 100/s", "job retry wrong --kind passport --yes", "job wait wrong --kind passport",
		"job show P-1 --kind passport", "batch status " + batch, "batch report " + batch + " --out " + filepath.Join(s.dir, "r.csv"), "batch failures " + batch,
		"review list", "fleet status", "fleet workers", "batch list", "job show B-1 --kind passport", "job image A-1 --out " + filepath.Join(s.dir, "a.jpg"),
		"legal-hold add passport P-1 --reason trial", "legal-hold list", "legal-hold remove passport P-1 --reason trial", "erase passport P-1 --reason trial", "erase aadhaar A-1 --reason trial", "audit verify", "audit list",
	} {
		if out, stderr, code := operator.run(nil, strings.Fields(command)...); code != 0 && !strings.HasPrefix(command, "job wait") {
			t.Errorf("%s: exit code %d\n%s%s", command, code, out, stderr)
		}
	}
	for _, role := range access.Roles() {
		out, _, _ := as[role].run(nil, "doctor", "--role", string(role))
		for line := range strings.Lines(out) {
			// The vendor of these tests is not Cashfree, Redis is started without a log, and MinIO does not tell how buckets are protected.
			if (!strings.HasPrefix(line, "skip") || !strings.Contains(line, "-protection ")) && !strings.HasPrefix(line, "ok") && !strings.HasPrefix(line, " ") && !strings.Contains(line, "redis-persistence") && !strings.Contains(line, " cashfree ") {
				t.Errorf("doctor of %s: %s", role, line)
			}
		}
	}
	address := testenv.FreeAddress(t)
	ask := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	page := as[access.Dashboard].with("KYCQ_LISTEN="+address).start("dashboard", "--no-login")
	for _, path := range []string{"queues", "queues/passport-bulk", "queues/passport-bulk/pending_tasks", "servers", "redis_info", "queue_stats", "scheduler_entries"} {
		eventually(t, func() bool {
			resp, err := ask.Get("http://" + address + "/asynqmon/api/" + path) //nolint:noctx // a test
			if err != nil {
				return false
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("the dashboard: %s: %d", path, resp.StatusCode)
			}
			return true
		})
	}
	page.terminate(t)
	w.terminate(t)
	for _, p := range []*process{w, page} {
		if text := p.read(t); strings.Contains(text, "NOPERM") || strings.Contains(text, "denied") || strings.Contains(text, "credentials lack") {
			t.Errorf("something was refused:\n%s", text)
		}
	}
}

// What a role does not need is refused.
func TestNoRoleMayDoMore(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for role, as := range s.roles() {
		options, err := redis.ParseURL(as.setting("KYCQ_REDIS_URL"))
		if err != nil {
			t.Fatal(err)
		}
		rdb := redis.NewClient(options)
		commands := []string{"flushdb", "flushall", "config get *", "keys *", "scan 0", "acl list", "shutdown nosave", "get other", "set other x", "script flush", "client list", "monitor", "slaveof no one", "module list", "function list"}
		switch role {
		case access.Producer:
			commands = append(commands, "hset kycq:{gate}:hold x y", "del kycq:{gate}:revision", "set kycq:{gate}:installation x", "get kycq:{aadhaar}:answer:A")
		case access.Dashboard:
			commands = append(commands, "hgetall kycq:{gate}:hold", "set asynq:x y", "del asynq:x", "lpush asynq:x y")
		case access.Worker, access.Operator, access.Serve:
		}
		for _, command := range commands {
			var args []any
			for word := range strings.FieldsSeq(command) {
				args = append(args, word)
			}
			if err := rdb.Do(t.Context(), args...).Err(); err == nil || !strings.Contains(err.Error(), "NOPERM") {
				t.Errorf("%s: %s: %v", role, command, err)
			}
		}
		_ = rdb.Close()

		cfg := s.s3.Config()
		cfg.AccessKeyID, cfg.SecretAccessKey = as.setting("AWS_ACCESS_KEY_ID"), redact.NewSecret("specimen-secret")
		store, err := storage.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		own := map[string]bool{}
		for _, p := range access.S3(role) {
			own[p.Bucket+p.Action+p.Key] = true
		}
		b := store.Buckets()
		for what, try := range map[string]func() error{
			"recordsDeleteObjectaudit/":    func() error { return b.Records.Delete(t.Context(), "audit/x") },
			"recordsDeleteObjectrecords/":  func() error { return b.Records.Delete(t.Context(), "records/passport/x.json") },
			"recordsPutObjectholds.json":   func() error { return b.Records.Put(t.Context(), "holds.json", nil, "text/plain") },
			"recordsPutObjectrecords/":     func() error { return b.Records.Put(t.Context(), "records/x", nil, "text/plain") },
			"maskedGetObjectmasked/":       func() error { _, err := b.Masked.Get(t.Context(), "masked/A/1.jpg"); return err },
			"maskedPutObjectmasked/":       func() error { return b.Masked.Put(t.Context(), "masked/A/1.jpg", nil, "image/jpeg") },
			"inboxGetObject":               func() error { _, err := b.Inbox.Get(t.Context(), "march/A.000000000000"); return err },
			"inboxDeleteObject":            func() error { return b.Inbox.Delete(t.Context(), "march/A.000000000000") },
			"recordsPutObjectother/":       func() error { return b.Records.Put(t.Context(), "other/x", nil, "text/plain") },
			"recordsPutObjectinstallation": func() error { return b.Records.Put(t.Context(), "installation.json.x", nil, "text/plain") },
		} {
			if err := try(); !own[what] && !errors.Is(err, storage.ErrDenied) {
				t.Errorf("%s may do %s: %v", role, what, err)
			}
		}
	}
}
