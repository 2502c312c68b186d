package e2e

import (
	"context"
	"fmt"
	"image"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.yaml.in/yaml/v3"

	"github.com/kycq/kycq/internal/dev/specimen/distort"
	"github.com/kycq/kycq/internal/testenv"
)

const rulesFile = "../../deploy/prometheus/kycq.rules.yaml"

// A scrape is what a worker exported at an instant.
type scrape struct {
	text string
	at   time.Time
}

// becomes scrapes the worker at address until every pattern is in a line of the answer.
func (s *stack) becomes(address string, patterns ...string) scrape {
	s.t.Helper()
	var found scrape
	eventually(s.t, func() bool {
		resp, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		found = scrape{string(body), time.Now()}
		return err == nil && !slices.ContainsFunc(patterns, func(p string) bool { return !regexp.MustCompile("(?m)^" + p).MatchString(found.text) })
	})
	return found
}

// TestEachAlertFires produces the condition of every alert in a running stack, and has a real Prometheus (promtool) evaluate
// the rules over what workers export before and after: no alert fires before, its own fires after.
func TestEachAlertFires(t *testing.T) {
	t.Parallel()
	promtool := testenv.Tool(t, "promtool")
	scrapes := produceConditions(t)
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	text, err := os.ReadFile(rulesFile)
	if err != nil || yaml.Unmarshal(text, &rules) != nil {
		t.Fatal(err)
	}
	var tests []map[string]any
	for _, r := range rules.Groups[0].Rules {
		after, ok := scrapes[r.Alert]
		if !ok {
			t.Errorf("no condition of %s was produced", r.Alert)
			continue
		}
		tests = append(tests, ruleTest(r.Alert, r.Expr, scrapes["calm"], after))
	}
	absolute, err := filepath.Abs(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	content, err := yaml.Marshal(map[string]any{"rule_files": []string{absolute}, "evaluation_interval": "1m", "tests": tests})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "alerts.yaml")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), promtool, "test", "rules", path).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}

// produceConditions returns a scrape for each alert, and one of a calm stack.
func produceConditions(t *testing.T) map[string]scrape {
	found := map[string]scrape{"KycqNoWorker": {at: time.Now()}} // without a worker nothing is scraped
	images := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(distort.JPEG(image.NewGray(image.Rect(0, 0, 600, 400)), 70)) // not the card
	}))
	t.Cleanup(images.Close)
	address := testenv.FreeAddress(t)
	s := newStack(t)
	s.useOwnRedis(t)
	s = s.with("KYCQ_LISTEN="+address, "KYCQ_ON_LOST_ANSWER=reissue",
		"KYCQ_IMAGE_HOSTS="+strings.TrimPrefix(s.vendor.server.URL, "http://")+","+strings.TrimPrefix(images.URL, "http://"))
	client, ctx := s.redisClient(t), context.Background()
	t.Cleanup(func() { _ = client.Close() })
	client.ConfigSet(ctx, "maxmemory", "1gb")

	serve := s.serveWebhooks("app1", "http://"+testenv.FreeAddress(t)) // nothing receives them
	first := s.start("worker")
	found["calm"] = s.becomes(address, `kycq_open_batches\{state="running"\} 0`, `kycq_clock_offset_seconds\{server="s3"\}`, `kycq_redis_persistence 1`)
	found["KycqClockWrong"] = scrape{regexp.MustCompile(`(?m)^(kycq_clock_offset_seconds\S+) .*`).ReplaceAllString(found["calm"].text, "$1 30"), found["calm"].at}

	for _, id := range []string{"lost-1", "lost-2", "lost-3"} {
		s.vendor.plan(id, func(w http.ResponseWriter, v *vendor, called string) {
			switch {
			case called != id:
				valid(w, v, called)
			case v.count(id) == 1:
				hangUp(w, v, called)
			default:
				problem(409, "verification_id_already_exists", "verification ID already exists")(w, v, called)
			}
		})
	}
	s.vendor.plan("limited", limited, limited, limited, valid)
	s.enqueuePassports("lost-1", "lost-2", "lost-3", "limited")
	found["KycqRateLimited"] = s.becomes(address, `kycq_rate_limited_total\{kind="passport"\} 3`)

	s.vendor.imagesDown.Store(true)
	s.enqueueAadhaar("no-image")
	found["KycqAnswersNotStored"] = s.becomes(address, `kycq_unstored_answers\{kind="aadhaar"\} 1`)
	s.vendor.imagesDown.Store(false)
	s.vendor.plan("unmasked", func(w http.ResponseWriter, _ *vendor, id string) {
		reply(w, 200, fmt.Sprintf(`{"verification_id":%q,"reference_id":4711,"status":"VALID","image_link":"%s/%s"}`, id, images.URL, id))
	})
	s.enqueueAadhaar("unmasked")
	if rec := s.wait("aadhaar", "unmasked"); rec.Code != "unsafe_mask" {
		t.Fatalf("%s %s", rec.State, rec.Code)
	}
	manifest := filepath.Join(s.dir, "passports.csv")
	if err := os.WriteFile(manifest, []byte("verification_id,file_number,dob\nr1,SPECIMEN00001,1990-01-31\nr2,SPECIMEN00002,1990-01-31\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, stderr, code := s.run(nil, "batch", "submit", "passport", manifest, "--max-calls", "1"); code != 0 {
		t.Fatal(code, out, stderr)
	}
	eventually(t, func() bool {
		out, _, _ := s.run(nil, "batch", "list", "--json")
		return strings.Contains(out, "call_limit_reached")
	})
	found["KycqReissues"] = s.becomes(address, `kycq_reissues_total\{kind="passport"\} 3`)
	for _, id := range []string{"down-1", "down-2", "down-3"} {
		s.vendor.plan(id, problem(500, "internal_error", "something went wrong"))
		s.enqueueAadhaar(id)
	}
	found["KycqBreakerOpen"] = s.becomes(address, `kycq_breaker_state\{kind="aadhaar",state="open"\} 1`)
	s.vendor.plan("broke", problem(422, "insufficient_balance", "Insufficient balance to process this request."))
	s.enqueuePassports("broke")
	found["KycqHold"] = s.becomes(address, `kycq_hold_started_timestamp_seconds\{cause="balance"`)
	late := s.becomes(strings.TrimPrefix(serve.url, "http://"), `kycq_webhook_lag_seconds\{endpoint="app1"\} [1-9]`)
	found["KycqWebhookLag"] = scrape{regexp.MustCompile(`(?m)^(kycq_webhook_lag_seconds\S+) .*`).ReplaceAllString(late.text, "$1 1000"), late.at}
	serve.process.terminate(t)
	first.terminate(t)

	s.enqueuePassports("forgotten", "waits")
	tasks := "asynq:{passport-live}:t:"
	var forgotten, waits []string
	for _, key := range client.Keys(ctx, tasks+"*").Val() {
		if strings.Contains(key, "forgotten") {
			forgotten = append(forgotten, key)
		} else if strings.Contains(key, "waits") {
			waits = append(waits, key)
		}
	}
	if len(forgotten) != 1 || len(waits) != 1 {
		t.Fatalf("%v %v", forgotten, waits)
	}
	client.LRem(ctx, "asynq:{passport-live}:pending", 0, strings.TrimPrefix(forgotten[0], tasks))
	client.Del(ctx, forgotten[0])
	for _, id := range client.LRange(ctx, "asynq:{passport-live}:pending", 0, -1).Val() {
		client.HSet(ctx, tasks+id, "pending_since", time.Now().Add(-time.Minute).UnixNano())
	}
	client.ZAdd(ctx, "asynq:{passport-live}:archived", redis.Z{Score: float64(time.Now().Unix()), Member: "foreign"})
	if err := os.WriteFile(manifest, []byte("verification_id,file_number,dob\nr3,SPECIMEN00003,1990-01-31\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, stderr, code := s.run(nil, "batch", "submit", "passport", manifest); code != 0 {
		t.Fatal(code, out, stderr)
	}

	s.start("worker")
	second := s.becomes(address, `kycq_missing_tasks_total 1`, `kycq_open_batches\{state="call_limit_reached"\} 1`, `kycq_quarantined_images 1`,
		`kycq_oldest_open_job_timestamp_seconds\{queue="passport-live"\}`, `asynq_tasks_enqueued_total\{queue="passport-live",state="archived"\} 1`,
		`kycq_queue_oldest_age_seconds\{queue="passport-live"\} [6-9]\d`)
	for _, name := range []string{"KycqTasksLost", "KycqBatchAtCallLimit", "KycqReviewsWaiting", "KycqLiveJobOpenForLong", "KycqTasksArchived", "KycqLiveJobsWait"} {
		found[name] = second
	}
	s.vendor.plan("broke", valid)
	if out, stderr, code := s.run(nil, "fleet", "resume"); code != 0 {
		t.Fatal(code, out, stderr)
	}
	// The batch ends now. The leader counts it as open until its next round.
	found["KycqBatchBlocked"] = s.becomes(address, `kycq_hold 0`, `kycq_open_batches\{state="running"\} 1`)
	if out, stderr, code := s.run(nil, "fleet", "pause", "--reason", "test"); code != 0 {
		t.Fatal(code, out, stderr)
	}
	found["KycqPausedForLong"] = s.becomes(address, `kycq_hold_started_timestamp_seconds\{cause="operator"`)
	used, err := client.InfoMap(ctx, "memory").Result()
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := strconv.Atoi(used["Memory"]["used_memory"])
	if err != nil {
		t.Fatal(err)
	}
	client.ConfigSet(ctx, "maxmemory", strconv.Itoa(bytes*3/2))
	client.ConfigSet(ctx, "appendonly", "no")
	found["KycqRedisNearlyFull"] = s.becomes(address, `kycq_redis_persistence 0`)
	found["KycqRedisNotPersistent"] = found["KycqRedisNearlyFull"]
	client.ShutdownNoSave(ctx)
	found["KycqRedisDown"] = s.becomes(address, `kycq_redis_up 0`)
	return found
}

// ruleTest is a test for promtool: an hour as before, then five hours as after.
func ruleTest(alert, expr string, before, after scrape) map[string]any {
	const calm, long = 60, 300 // minutes
	names := regexp.MustCompile(`\b(?:kycq|asynq)_[a-z0-9_]+`).FindAllString(expr, -1)
	b, a := samples(before, names, calm), samples(after, names, calm)
	values := map[string]string{}
	for series, value := range b {
		values[series] = fmt.Sprintf("%s+0x%d stale", value, calm-1)
	}
	for series, value := range a {
		if earlier, ok := b[series]; ok {
			values[series] = fmt.Sprintf("%s+0x%d %s+0x%d", earlier, calm-1, value, long)
		} else {
			values[series] = fmt.Sprintf("_x%d %s+0x%d", calm, value, long)
		}
	}
	var input []map[string]string
	for series, v := range values {
		input = append(input, map[string]string{"series": series, "values": v})
	}
	firing := fmt.Sprintf("ALERTS{alertname=%q,alertstate=\"firing\"}", alert)
	fires := func(expr, at string, value int) map[string]any {
		return map[string]any{"expr": expr, "eval_time": at, "exp_samples": []map[string]any{{"labels": "{}", "value": value}}}
	}
	return map[string]any{"name": alert, "interval": "1m", "input_series": input, "promql_expr_test": []any{
		fires(fmt.Sprintf("count(max_over_time(%s[1h])) or vector(0)", firing), fmt.Sprint(calm-1, "m"), 0),
		fires(fmt.Sprintf("count(max_over_time(%s[5h])) > bool 0", firing), fmt.Sprint(calm+long-1, "m"), 1),
	}}
}

// samples are the series of some metrics. promtool's clock begins at 0, so timestamps are moved: the scrape is at minute calm.
func samples(s scrape, names []string, calm int) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(s.text) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if i := strings.LastIndexByte(strings.TrimSpace(line), ' '); i > 0 {
			series, value = strings.TrimSpace(line)[:i], strings.TrimSpace(line)[i+1:]
		}
		name, _, _ := strings.Cut(series, "{")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || !slices.Contains(names, name) {
			continue
		}
		if strings.HasSuffix(name, "_timestamp_seconds") {
			n += float64(calm*60) - float64(s.at.Unix())
		}
		found[series] = strconv.FormatFloat(n, 'f', -1, 64)
	}
	return found
}
