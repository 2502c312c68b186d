package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9/logging"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/dev/clitest"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
	"github.com/kycq/kycq/tasks"
)

func TestMain(m *testing.M) {
	logging.Disable() // of go-redis, as in Main
	testscript.Main(m, map[string]func(){"kycq": main})
}

// stack is what a script runs against: a Redis and a store of its own.
type stack struct {
	t      testing.TB
	redis  *miniredis.Miniredis
	server *storagetest.Server
	store  *storage.Store
}

// TestScripts runs each script of testdata/script against the program in its own process, with an environment that
// points to a new Redis and store. The keyset is that of keyset.json in the script's folder.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			s := &stack{t: t, redis: miniredis.RunT(t), server: storagetest.StartFake(t)}
			s.store = s.server.Store(t)
			testscript.Run(t, testscript.Params{
				Files: []string{file}, Setup: s.setup, RequireExplicitExec: true, RequireUniqueNames: true,
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"empty":      s.cmdEmpty,
					"finish":     s.cmdFinish,
					"ended":      s.cmdEnded,
					"answer":     s.cmdAnswer,
					"object":     s.cmdObject,
					"redis":      s.cmdRedis,
					"upload":     s.cmdUpload,
					"own":        s.cmdOwn,
					"quarantine": s.cmdQuarantine,
					"exits":      clitest.Exits,
					"refuses":    clitest.Refuses,
					"polled":     s.cmdPolled,
					"waitfor":    clitest.WaitFor,
					"healthy":    cmdHealthy,
				},
			})
		})
	}
}

func (s *stack) setup(env *testscript.Env) error {
	cfg := s.server.Config()
	for name, value := range map[string]string{
		"KYCQ_REDIS_URL": "redis://" + s.redis.Addr() + "/0", "KYCQ_S3_ENDPOINT": cfg.Endpoint, "KYCQ_S3_REGION": cfg.Region,
		"KYCQ_S3_INBOX_BUCKET": cfg.InboxBucket, "KYCQ_S3_MASKED_BUCKET": cfg.MaskedBucket, "KYCQ_S3_RECORDS_BUCKET": cfg.RecordsBucket,
		"AWS_ACCESS_KEY_ID": cfg.AccessKeyID, "AWS_SECRET_ACCESS_KEY": cfg.SecretAccessKey.Reveal(), "AWS_EC2_METADATA_DISABLED": "true",
		"KYCQ_KEYSET_FILE": filepath.Join(env.WorkDir, "keyset.json"), "REDIS_ADDR": s.redis.Addr(),
		"DASHBOARD_ADDR": freeAddress(), "GORACE": os.Getenv("GORACE"),
	} {
		if value != "" {
			env.Setenv(name, value)
		}
	}
	files := map[string][]byte{
		"card.png":  samplePNG(color.White),
		"other.png": samplePNG(color.Black),
		"empty.jpg": {},
		"card.pdf":  []byte("%PDF-1.7\n%an e-Aadhaar\n"),
		"notes.jpg": []byte("this is a text"),
		"cut.png":   samplePNG(color.White)[:20],
		"big.png":   append(samplePNG(color.White), make([]byte, 11<<20)...),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(env.WorkDir, name), content, 0o600); err != nil {
			return err
		}
	}
	return writeTestKeyset(filepath.Join(env.WorkDir, "keyset.json"))
}

// freeAddress returns a loopback address that is not in use.
func freeAddress() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func samplePNG(c color.Color) []byte {
	img := image.NewGray(image.Rect(0, 0, 64, 40))
	for y := range 40 {
		for x := range 64 {
			img.Set(x, y, c)
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func writeTestKeyset(path string) error {
	var out, errs bytes.Buffer
	if code := program().Run(context.Background(), []string{"keys", "generate"}, nil, &out, &errs, nil); code != cli.ExitOK {
		return os.ErrInvalid
	}
	return os.WriteFile(path, out.Bytes(), 0o600)
}

// cmdEmpty asserts that nothing was enqueued: no key in Redis, no object in the inbox, no record.
func (s *stack) cmdEmpty(ts *testscript.TestScript, neg bool, _ []string) {
	found := s.redis.Keys()
	for _, kind := range tasks.Kinds() {
		for id, err := range s.store.Records(context.Background(), kind) {
			ts.Check(err)
			found = append(found, "record "+id)
		}
	}
	switch {
	case neg && len(found) == 0:
		ts.Fatalf("nothing was enqueued")
	case !neg && len(found) > 0:
		ts.Fatalf("something was enqueued: %v", found)
	}
}

// cmdFinish ends a job as a worker would, with the image of upload as its masked one: finish aadhaar ABC00123 valid; finish aadhaar ABC00123 failed answer_lost.
func (s *stack) cmdFinish(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	kind, err := tasks.ParseKind(args[0])
	ts.Check(err)
	rec, v, err := s.store.Record(ctx, kind, args[1])
	ts.Check(err)
	rec.State = storage.State(args[2])
	if rec.State == storage.StateFailed {
		rec.Code, rec.Message, rec.NextAction = "provider_error", "the provider failed six times", "try again after some time"
	}
	at := storage.Attempt{Run: rec.Run, ProviderID: rec.VerificationID, HTTPStatus: 200, Result: "answered"}
	if len(args) > 3 {
		rec.Code = args[3]
	}
	if key := "masked/" + args[1] + "/1.png"; kind == tasks.Aadhaar && rec.State == storage.StateValid {
		body, err := s.store.Masked(ctx, key)
		if err == nil {
			rec.MaskedImage = &storage.MaskedImage{
				Bucket: s.server.Config().MaskedBucket, Key: key, SHA256: hashOf(body), Bytes: int64(len(body)), ContentType: "image/png",
			}
		}
	}
	switch rec.Code {
	case "provider_error":
		at.HTTPStatus, at.Result = 502, "error"
	case "answer_lost":
		at.HTTPStatus, at.Result = 0, storage.ResultUnknown
	}
	rec.Attempts = append(rec.Attempts, at)
	_, err = s.store.SwapRecord(ctx, rec, v)
	ts.Check(err)
}

// cmdEnded ends a job some days ago, an aadhaar job with an open review: ended passport P1 40.
func (s *stack) cmdEnded(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	rec, v, err := s.store.Record(ctx, tasks.Kind(args[0]), args[1])
	ts.Check(err)
	days, err := strconv.Atoi(args[2])
	ts.Check(err)
	rec.State, rec.CompletedAt = storage.StateValid, time.Now().AddDate(0, 0, -days)
	if rec.Kind == tasks.Aadhaar {
		rec.State, rec.Code, rec.Review = storage.StateFailed, "unsafe_mask", "visible_qr"
	}
	_, err = s.store.SwapRecord(ctx, rec, v)
	ts.Check(err)
}

// cmdAnswer seals an answer into a job's record, and keeps another one in Redis, as a worker would: answer passport P1.
func (s *stack) cmdAnswer(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	kind, err := tasks.ParseKind(args[0])
	ts.Check(err)
	keyset, err := tasks.ParseKeyset([]byte(ts.ReadFile("keyset.json")))
	ts.Check(err)
	body := []byte(`{"status":"VALID","name":"Canary Answer"}`)
	plain, err := json.Marshal(map[string]any{"http_status": 200, "image_link": "https://images.invalid/canary-link", "body": body})
	ts.Check(err)
	sealed, err := keyset.Seal(plain, tasks.AnswerBinding(kind, args[1]))
	ts.Check(err)
	ts.Check(s.redis.Set("kycq:{"+args[0]+"}:answer:"+args[1], sealed))
	rec, v, err := s.store.Record(ctx, kind, args[1])
	ts.Check(err)
	rec.Sealed = sealed
	_, err = s.store.SwapRecord(ctx, rec, v)
	ts.Check(err)
}

// cmdObject looks for objects of the three buckets whose key matches, and removes those of audit/ where that is asked for:
// object ^masked/A1; ! object ^quarantine/; object -rm ^audit/.*0002.json$.
func (s *stack) cmdObject(ts *testscript.TestScript, neg bool, args []string) {
	pattern := regexp.MustCompile(args[len(args)-1])
	objects, err := s.server.Objects(context.Background())
	ts.Check(err)
	var found []string
	for _, o := range objects {
		if !pattern.MatchString(o.Key) {
			continue
		}
		found = append(found, o.Key)
		switch args[0] {
		case "-rm":
			ts.Check(s.store.Buckets().Records.Delete(context.Background(), o.Key))
		case "-rm-masked":
			ts.Check(s.store.Buckets().Masked.Delete(context.Background(), o.Key))
		}
	}
	if neg == (len(found) > 0) {
		ts.Fatalf("objects that match %s: %v", pattern, found)
	}
}

// cmdRedis changes the server (redis stop; redis flush; redis keep KEY TEXT) or searches its keys and values for a text:
// ! redis grep TEXT.
func (s *stack) cmdRedis(ts *testscript.TestScript, neg bool, args []string) {
	switch args[0] {
	case "stop":
		s.redis.Close()
	case "flush":
		s.redis.FlushAll()
	case "keep":
		ts.Check(s.redis.Set(args[1], args[2]))
	case "grep":
		if found := strings.Contains(s.everythingInRedis(ts), args[1]); found == neg {
			ts.Fatalf("%q in Redis: %t", args[1], found)
		}
	default:
		ts.Fatalf("unknown: redis %s", args[0])
	}
}

func (s *stack) everythingInRedis(ts *testscript.TestScript) string {
	var all strings.Builder
	for _, key := range s.redis.Keys() {
		_, _ = fmt.Fprintln(&all, key)
		switch s.redis.Type(key) {
		case "hash":
			fields, err := s.redis.HKeys(key)
			ts.Check(err)
			for _, field := range fields {
				_, _ = fmt.Fprintln(&all, field, s.redis.HGet(key, field))
			}
		case "string":
			text, err := s.redis.Get(key)
			ts.Check(err)
			_, _ = fmt.Fprintln(&all, text)
		case "list":
			items, err := s.redis.List(key)
			ts.Check(err)
			_, _ = fmt.Fprintln(&all, items)
		}
	}
	return all.String()
}

// cmdUpload puts a file into the masked bucket, as a worker would: upload card.png A1.
func (s *stack) cmdUpload(ts *testscript.TestScript, _ bool, args []string) {
	_, _, err := s.store.PutMasked(context.Background(), args[1], 1, "png", "image/png", []byte(ts.ReadFile(args[0])))
	ts.Check(err)
}

// cmdOwn puts a file into a bucket of the user's, USER_BUCKET: own card.png KEY.
func (s *stack) cmdOwn(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv("USER_BUCKET", s.server.PutUserImage(s.t, args[1], []byte(ts.ReadFile(args[0]))))
}

// cmdQuarantine puts a file into quarantine, as a worker would: quarantine card.png A1.
func (s *stack) cmdQuarantine(ts *testscript.TestScript, _ bool, args []string) {
	_, _, err := s.store.PutQuarantine(context.Background(), args[1], "image/png", []byte(ts.ReadFile(args[0])))
	ts.Check(err)
}

// cmdPolled waits until a program in the background has read an object of this name twice: polled A1.
func (s *stack) cmdPolled(ts *testscript.TestScript, _ bool, args []string) {
	var reads atomic.Int64
	s.server.Use(storagetest.Count(&reads, func(r *http.Request) bool {
		return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/"+args[0]+".json")
	}))
	clitest.WaitUntil(ts, "the record is read twice", func() bool { return reads.Load() >= 2 })
}

// cmdHealthy runs a program repeatedly until it succeeds: healthy kycq healthcheck.
func cmdHealthy(ts *testscript.TestScript, _ bool, args []string) {
	clitest.WaitUntil(ts, "the program succeeds", func() bool { return ts.Exec(args[0], args[1:]...) == nil })
}
