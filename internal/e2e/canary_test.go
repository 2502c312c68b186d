package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/tasks"
)

// encodings are the forms in which a canary would be readable: plain text in any case, hex, and base64 for each of the three
// positions at which it can begin within a group.
func encodings(word string) []string {
	forms := []string{strings.ToLower(word), hex.EncodeToString([]byte(word))}
	for shift, skip := range []int{0, 2, 3} { // first characters that depend on the bytes before the word
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + word))
		whole := (shift + len(word)) / 3 * 4 // without the last characters, which depend on the bytes after it
		forms = append(forms, strings.ToLower(encoded[skip:whole]))
	}
	return forms
}

func TestSearchFindsACanaryInEveryEncoding(t *testing.T) {
	t.Parallel()
	for shift := range 3 {
		text := strings.Repeat("~", shift) + "the " + canary + " sings"
		for _, encoded := range []string{text, hex.EncodeToString([]byte(text)), base64.StdEncoding.EncodeToString([]byte(text)), base64.RawURLEncoding.EncodeToString([]byte(text))} {
			found := false
			for _, form := range encodings(canary) {
				found = found || strings.Contains(strings.ToLower(encoded), form)
			}
			if !found {
				t.Errorf("not found in %q", encoded)
			}
		}
	}
}

// searchFor fails the test if a text contains the canary in any encoding.
func searchFor(t *testing.T, where string, text []byte) {
	t.Helper()
	lower := bytes.ToLower(text)
	for _, form := range encodings(canary) {
		if bytes.Contains(lower, []byte(form)) {
			t.Errorf("a canary (as %q) is readable in %s", form, where)
		}
	}
}

func TestNothingPersonalIsReadableAtRest(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	aof := s.useOwnRedis(t)
	s = s.with("KYCQ_LOG_LEVEL=debug")
	s.vendor.plan("fine", func(w http.ResponseWriter, _ *vendor, id string) {
		reply(w, 200, fmt.Sprintf(`{"verification_id":%q,"reference_id":4711,"status":"VALID","name":"%s","file_number":"%s",
			"dob":"1990-01-31"}`, id, canary, canary+"00001"))
	})
	s.vendor.plan("card", func(w http.ResponseWriter, v *vendor, id string) {
		reply(w, 200, fmt.Sprintf(`{"verification_id":%q,"reference_id":4711,"status":"VALID","image_link":"%s/image/%s"}`, id, v.server.URL, canary))
	})
	s.vendor.plan("gone-wrong", problem(400, "dob_value_invalid", "dob "+canary+" should be of type YYYY-MM-DD"))
	s.vendor.plan("fails", raw(503, "text/html", "<html>"+canary+"</html>"))
	s.vendor.plan("retried", problem(502, "verification_failed", canary+" failed"))
	s.vendor.plan("odd", raw(200, "text/plain", canary))
	s.vendor.plan("no-card", status("INVALID_DOCUMENT"))
	s.vendor.plan("unanswered-card", problem(500, "internal_error", canary))
	ids := []string{"fine", "gone-wrong", "fails", "retried", "odd"}
	s.enqueuePassports(ids...)
	for _, id := range []string{"card", "no-card", "unanswered-card"} { // the upload of the last one is not deleted
		s.enqueueAadhaar(id)
	}
	s.submitPassports(t, 30)
	s.searchRedis(t) // the payloads of pending tasks
	worker := s.start("worker")
	dashboard := s.start("dashboard", "--no-login")
	searchFor(t, "ps", commandLines(t))
	for _, id := range ids {
		s.wait("passport", id)
	}
	for _, row := range []string{"row-1", "row-30"} {
		s.wantOneCall(t, tasks.Passport, row)
	}
	for _, id := range []string{"card", "no-card", "unanswered-card"} {
		s.wait("aadhaar", id)
	}
	for _, id := range ids {
		out, stderr, _ := s.run(nil, "job", "show", id, "--kind", "passport", "--json")
		searchFor(t, "kycq job show "+id, []byte(out+stderr))
	}
	out, _, code := s.run(nil, "job", "show", "fine", "--kind", "passport", "--reveal")
	if code != 0 || !strings.Contains(out, canary) {
		t.Error("--reveal shows no canary: the search proves nothing")
	}
	s.searchPages(t, worker, dashboard)
	s.searchRedis(t)
	s.searchStore(t)
	searchFor(t, "the worker's log", []byte(worker.read(t)))
	searchFor(t, "the dashboard's log", []byte(dashboard.read(t)))
	searchFor(t, "Redis' append-only file", aof())
}

// searchRedis searches every key and its uncompressed value.
func (s *stack) searchRedis(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	client := s.redisClient(t)
	defer func() { _ = client.Close() }()
	keys := client.Scan(ctx, 0, "*", 1000).Iterator()
	seen := 0
	for keys.Next(ctx) {
		searchFor(t, "the name of a Redis key", []byte(keys.Val()))
		raw, err := rawValue(ctx, client, keys.Val())
		if err != nil {
			t.Fatal(err)
		}
		searchFor(t, "Redis key "+keys.Val(), raw)
		seen++
	}
	if keys.Err() != nil || seen == 0 {
		t.Fatalf("scanned %d keys: %v", seen, keys.Err())
	}
}

// rawValue reads a whole value. DUMP would compress long strings.
func rawValue(ctx context.Context, client *redis.Client, key string) ([]byte, error) {
	kind, err := client.Type(ctx, key).Result()
	if err != nil {
		return nil, err
	}
	read := map[string][]any{
		"string": {"GET", key}, "hash": {"HGETALL", key}, "list": {"LRANGE", key, 0, -1},
		"zset": {"ZRANGE", key, 0, -1}, "set": {"SMEMBERS", key},
	}[kind]
	if read == nil {
		return nil, nil // deleted in the meantime
	}
	reply := client.Do(ctx, read...)
	if text, err := reply.Text(); err == nil {
		return []byte(text), nil
	}
	var all bytes.Buffer
	collect(&all, reply.Val())
	return all.Bytes(), nil
}

func collect(to *bytes.Buffer, value any) {
	switch v := value.(type) {
	case string:
		to.WriteString(v + "\n")
	case []any:
		for _, part := range v {
			collect(to, part)
		}
	case map[any]any:
		for key, part := range v {
			collect(to, key)
			collect(to, part)
		}
	}
}

func (s *stack) redisClient(t *testing.T) *redis.Client {
	t.Helper()
	opt, err := redis.ParseURL(s.setting("KYCQ_REDIS_URL"))
	if err != nil {
		t.Fatal(err)
	}
	return redis.NewClient(opt)
}

// searchStore searches every object of the three buckets: key, metadata and content.
func (s *stack) searchStore(t *testing.T) {
	t.Helper()
	objects, err := s.s3.Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	folders := map[string]int{}
	for _, o := range objects {
		searchFor(t, "the key of an S3 object", []byte(o.Bucket+"/"+o.Key))
		for name, value := range o.Metadata {
			searchFor(t, "the metadata of S3 object "+o.Key, []byte(name+": "+value))
		}
		searchFor(t, "S3 object "+o.Key, o.Body)
		folder, _, _ := strings.Cut(o.Key, "/")
		folders[folder]++
	}
	for _, folder := range []string{"single", "masked", "records", "audit", "batches"} { // in all three buckets
		if folders[folder] == 0 {
			t.Errorf("no object under %s/ was found: %v", folder, folders)
		}
	}
}
