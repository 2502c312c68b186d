package api_test

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/api"
	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
	"github.com/kycq/kycq/tasks"
)

func TestAPassportIsAcceptedOnceAndBelongsToItsInput(t *testing.T) {
	t.Parallel()
	s := start(t)
	first := s.post("/v1/passport", passport("P1", canary+"1"))
	s.want(first, http.StatusAccepted, "")
	if first.header.Get("Location") != "/v1/jobs/passport/P1" || first.field("state") != "queued" || first.field("lane") != "live" {
		t.Errorf("202: %v %s", first.header, first.body)
	}
	s.want(s.post("/v1/passport", passport("P1", canary+"1")), http.StatusOK, "")
	s.want(s.post("/v1/passport", passport("P1", canary+"2")), http.StatusConflict, "different_input")
	s.edit(tasks.Passport, "P1", finish(storage.StateInvalid))
	again := s.post("/v1/passport", passport("P1", canary+"1"))
	s.want(again, http.StatusOK, "")
	if again.field("state") != "invalid" {
		t.Errorf("a finished job: %s", again.body)
	}
	s.want(s.send(http.MethodGet, "/v1/jobs/passport/P1", nil), http.StatusOK, "")
	s.want(s.send(http.MethodGet, "/v1/jobs/aadhaar/P1", nil), http.StatusNotFound, "not_found")
	s.want(s.send(http.MethodGet, "/v1/jobs/pan/P1", nil), http.StatusNotFound, "not_found")
	for _, a := range []answer{first, again} {
		if strings.Contains(string(a.body), canary) {
			t.Errorf("the answer holds personal data: %s", a.body)
		}
	}
}

func TestFieldsAreRefusedTogether(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.post("/v1/passport", `{"verification_id":"P 1","file_number":"-","dob":"31-01-1990","lane":"fast"}`)
	s.want(a, http.StatusUnprocessableEntity, "invalid_input")
	for _, pointer := range []string{"/verification_id", "/file_number", "/dob", "/lane"} {
		if !strings.Contains(string(a.body), `"pointer":"`+pointer+`"`) {
			t.Errorf("%s is not named: %s", pointer, a.body)
		}
	}
}

// The document says string for each of these, and the vendor's fields and reasons are never guessed from other types.
func TestFieldsOfTheWrongTypeAreRefusedByName(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, c := range []struct{ path, body, pointer, code string }{
		{"/v1/passport", `{"file_number":12345678,"dob":"1990-01-31"}`, "/file_number", "value_type_wrong"},
		{"/v1/passport", `{"dob":"1990-01-31","dob":"1990-01-31"}`, "/dob", "key_twice"},
		{"/v1/passport", `{"file_number":"X1","` + canary + `":"1"}`, "", "key_unknown"},
		{"/v1/aadhaar", `{"verification_id":"A1","image":["s3://b/k"]}`, "/image", "value_type_wrong"},
		{"/v1/fleet/pause", `{"reason":5}`, "/reason", "value_type_wrong"},
		{"/v1/fleet/pause", `{"reason":true}`, "/reason", "value_type_wrong"},
		{"/v1/jobs/passport/P1/retry", `{"reason":"x","run":"1"}`, "/run", "run_invalid"},
		{"/v1/jobs/passport/P1/retry", `{"reason":"x","run":1.5}`, "/run", "run_invalid"},
	} {
		a := s.post(c.path, c.body)
		s.want(a, http.StatusUnprocessableEntity, "invalid_input")
		want := `"pointer":"` + c.pointer + `","code":"` + c.code + `"`
		if !strings.Contains(string(a.body), want) || strings.Contains(string(a.body), canary) {
			t.Errorf("%s %s: want %s: %s", c.path, c.body, want, a.body)
		}
	}
}

// Without a verification_id, a job has the one that a row of a manifest with the same input has.
func TestDerivedIDsAreThoseOfManifests(t *testing.T) {
	t.Parallel()
	s := start(t)
	rows, err := manifest.NewReader(strings.NewReader("file_number,dob\nspecimen77,1990-01-31\n"), tasks.Passport, nil)
	if err != nil {
		t.Fatal(err)
	}
	var row manifest.Row
	if err := rows.Next(&row); err != nil {
		t.Fatal(err)
	}
	want, problem, err := (&manifest.Checker{Kind: tasks.Passport, Keyset: s.keyset}).Check(t.Context(), &row)
	if err != nil || problem != nil {
		t.Fatal(problem, err)
	}
	for i, status := range []int{http.StatusAccepted, http.StatusOK} {
		a := s.post("/v1/passport", []string{`{"file_number":"specimen77","dob":"1990-01-31"}`, `{"file_number":"SPECIMEN77","dob":"1990-01-31"}`}[i])
		s.want(a, status, "")
		if a.field("verification_id") != want.ID {
			t.Errorf("id %s, want %s", a.field("verification_id"), want.ID)
		}
	}
}

// form returns a form and its content type. fields are pairs of name and value.
func form(image []byte, fields ...string) (io.Reader, string) {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for i := 0; i < len(fields); i += 2 {
		_ = w.WriteField(fields[i], fields[i+1])
	}
	if image != nil {
		part, _ := w.CreateFormFile("image", canary+".png")
		_, _ = part.Write(image)
	}
	_ = w.Close()
	return &body, w.FormDataContentType()
}

func TestAnImageIsTakenAsAFormOrAsTheBody(t *testing.T) {
	t.Parallel()
	s := start(t)
	card := picture(1, 100)
	body, kind := form(card, "verification_id", "A1", "lane", "bulk")
	a := s.send(http.MethodPost, "/v1/aadhaar", body, "Content-Type", kind)
	s.want(a, http.StatusAccepted, "")
	if a.field("lane") != "bulk" || a.header.Get("Location") != "/v1/jobs/aadhaar/A1" {
		t.Errorf("%v %s", a.header, a.body)
	}
	raw := func(query string, image []byte) answer {
		return s.send(http.MethodPost, "/v1/aadhaar"+query, bytes.NewReader(image), "Content-Type", "image/png")
	}
	s.want(raw("?verification_id=A1", card), http.StatusOK, "")
	if n := s.uploads(); n != 1 {
		t.Errorf("%d uploads, want 1", n)
	}
	s.want(raw("?verification_id=A1", picture(2, 100)), http.StatusConflict, "different_input")
	if n := s.uploads(); n != 1 {
		t.Errorf("%d uploads after a refused one, want 1", n)
	}
	derived := raw("", card)
	s.want(derived, http.StatusAccepted, "")
	s.want(raw("?verification_id="+derived.field("verification_id"), card), http.StatusOK, "")
	s.want(s.send(http.MethodGet, "/v1/jobs/aadhaar/A1/image", nil), http.StatusConflict, "not_masked_yet")
}

func TestImagesAreRefusedByTheirSizeAndThenByTheirType(t *testing.T) {
	t.Parallel()
	s := start(t)
	large := bytes.Repeat([]byte("x"), tasks.MaxImageBytes+1)
	twice, twiceKind := form(picture(1, 10), "lane", "live", "lane", "bulk")
	none, noneKind := form(nil, "verification_id", "A1")
	pdf, pdfKind := form([]byte("%PDF-1.7"), "verification_id", "A1")
	big, bigKind := form(large, "verification_id", "A1")
	for name, c := range map[string]struct {
		kind   string
		body   io.Reader
		status int
		code   string
	}{
		"too large, and PDF":         {"application/pdf", bytes.NewReader(large), 413, "body_too_large"},
		"too large":                  {"image/png", bytes.NewReader(large), 413, "body_too_large"},
		"too large, length unknown":  {"image/png", io.MultiReader(bytes.NewReader(large)), 413, "body_too_large"},
		"too large a part":           {bigKind, big, 413, "body_too_large"},
		"PDF by its type":            {"application/pdf", strings.NewReader("%PDF"), 415, "media_type"},
		"PDF by its content":         {"image/png", strings.NewReader("%PDF-1.7"), 415, "media_type"},
		"PDF in a form":              {pdfKind, pdf, 415, "media_type"},
		"text":                       {"image/jpeg", strings.NewReader("SPECIMEN"), 415, "media_type"},
		"empty":                      {"image/png", strings.NewReader(""), 422, "invalid_input"},
		"a header that ends early":   {"image/png", bytes.NewReader(picture(1, 10)[:20]), 422, "invalid_input"},
		"a field twice":              {twiceKind, twice, 422, "invalid_input"},
		"no image":                   {noneKind, none, 422, "invalid_input"},
		"a form without a boundary":  {"multipart/form-data", strings.NewReader("x"), 415, "media_type"},
		"JSON without an image":      {jsonType, strings.NewReader(`{"verification_id":"A1"}`), 422, "invalid_input"},
		"no content type":            {"", bytes.NewReader(picture(1, 10)), 415, "media_type"},
		"a form without end of part": {"multipart/form-data; boundary=x", strings.NewReader("--x\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\nabc"), 422, "invalid_input"},
	} {
		a := s.send(http.MethodPost, "/v1/aadhaar", c.body, "Content-Type", c.kind)
		if a.status != c.status || a.field("code") != c.code {
			t.Errorf("%s: %d %s, want %d %s", name, a.status, a.body, c.status, c.code)
		}
	}
	if n := s.uploads(); n != 0 {
		t.Errorf("%d uploads of refused images", n)
	}
}

// Objects are taken from listed places only, and are not read, so an answer does not show what a bucket holds.
func TestAnImageInS3IsTakenFromAListedPlaceUnread(t *testing.T) {
	t.Parallel()
	s := start(t)
	body := func(id, image string) string { return `{"verification_id":"` + id + `","image":"` + image + `"}` }
	s.want(s.post("/v1/aadhaar", body("A1", "s3://cards/march/"+canary+".png")), http.StatusAccepted, "")
	s.want(s.post("/v1/aadhaar", body("A1", "s3://cards/march/"+canary+".png")), http.StatusOK, "")
	s.want(s.post("/v1/aadhaar", body("A1", "s3://cards/march/2.png")), http.StatusConflict, "different_input")
	for _, c := range [][3]string{
		{"A2", "s3://cards/april/1.png", "image_place_refused"},
		{"A2", "s3://cards/march/../april/1.png", "image_place_refused"},
		{"A2", "s3://" + s.s3.Config().InboxBucket + "/single/A1.000000000000", "image_place_refused"},
		{"A2", "s3://cards", "image_missing"},
		{"A2", "/etc/passwd", "image_place_invalid"},
		{"", "s3://cards/march/1.png", "verification_id_missing"},
	} {
		a := s.post("/v1/aadhaar", body(c[0], c[1]))
		s.want(a, http.StatusUnprocessableEntity, "invalid_input")
		if !strings.Contains(string(a.body), `"`+c[2]+`"`) {
			t.Errorf("%s: %s", c[1], a.body)
		}
	}
	if _, _, err := s.store.Record(t.Context(), tasks.Aadhaar, "A2"); err == nil {
		t.Error("a refused image has a record")
	}
}

// A client that breaks off leaves neither an object nor a job, and its buffer is free again: more break off than there are.
func TestABrokenOffBodyLeavesNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	for range 10 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(conn, "POST /v1/aadhaar?verification_id=A1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: image/png\r\nContent-Length: 5000\r\n\r\n", s.all)
		_, _ = conn.Write(picture(1, 100))
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = io.ReadAll(conn)
		_ = conn.Close()
	}
	if _, _, err := s.store.Record(t.Context(), tasks.Aadhaar, "A1"); err == nil || s.uploads() != 0 {
		t.Errorf("left: %d uploads, record %v", s.uploads(), err)
	}
	s.want(s.send(http.MethodPost, "/v1/aadhaar?verification_id=A1", bytes.NewReader(picture(1, 100)), "Content-Type", "image/png"), http.StatusAccepted, "")
}

// Bodies are read by six at a time, and never into files.
func TestUploadsWaitUnreadBeyondTheBuffers(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	s := start(t)
	arrived, release := make(chan struct{}, 20), make(chan struct{})
	var storing, most atomic.Int64
	s.s3.Use(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/single/") {
			most.Store(max(most.Load(), storing.Add(1)))
			arrived <- struct{}{}
			<-release
			storing.Add(-1)
		}
		next.ServeHTTP(w, r)
	})
	const uploads = 12
	answers := make(chan answer, uploads)
	for i := range uploads {
		go func() {
			answers <- s.send(http.MethodPost, fmt.Sprintf("/v1/aadhaar?verification_id=A%d", i), bytes.NewReader(picture(uint64(i), 200_000)), "Content-Type", "image/png")
		}()
	}
	for range 6 {
		<-arrived
	}
	close(release)
	for range uploads {
		s.want(<-answers, http.StatusAccepted, "")
	}
	if most.Load() > 6 {
		t.Errorf("%d bodies were in memory at once", most.Load())
	}
	if files, _ := os.ReadDir(dir); len(files) > 0 {
		t.Errorf("%d temporary files", len(files))
	}
}

// tasksOf counts the tasks of a queue.
func (s *server) tasksOf(queue string) int {
	info, err := s.queues.GetQueueInfo(queue)
	if err != nil {
		return 0
	}
	return info.Size
}

// A submission is cut off after each of its requests to S3 in turn, as by a crash of the server. Repeated, it makes one job
// with one task and one upload.
func TestASubmissionThatIsCutOffAnywhereIsOneJobWhenItIsRepeated(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, lost := range []bool{false, true} { // the request after which it is cut off was executed, or not
		for n := int64(0); ; n++ {
			id := fmt.Sprintf("A%v%d", lost, n)
			submit := func() answer {
				return s.send(http.MethodPost, "/v1/aadhaar?lane=bulk&verification_id="+id, bytes.NewReader(picture(uint64(n), 100)), "Content-Type", "image/png")
			}
			before, queued := s.uploads(), s.tasksOf("aadhaar-bulk")
			var count atomic.Int64
			s.s3.Use(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				switch at := count.Add(1); {
				case at <= n:
					next.ServeHTTP(w, r)
				case at == n+1 && lost:
					storagetest.LoseReplies(1, func(*http.Request) bool { return true })(w, r, next)
				default:
					w.WriteHeader(http.StatusForbidden) // an error that the SDK does not retry
				}
			})
			cut := submit()
			s.s3.Use(nil)
			if cut.status < 500 && cut.status != http.StatusAccepted {
				t.Fatalf("cut off after %d requests: %d %s", n, cut.status, cut.body)
			}
			if a := submit(); a.status != http.StatusAccepted && a.status != http.StatusOK {
				t.Errorf("repeated after %d requests: %d %s", n, a.status, a.body)
			}
			if rec := s.record(tasks.Aadhaar, id); rec.Run != 1 || s.uploads() != before+1 || s.tasksOf("aadhaar-bulk") != queued+1 {
				t.Errorf("cut off after %d requests: run %d, %d uploads, %d tasks more", n, rec.Run, s.uploads()-before, s.tasksOf("aadhaar-bulk")-queued)
			}
			if cut.status == http.StatusAccepted { // n is larger than the number of requests
				break
			}
		}
	}
}

func TestAJobThatRedisDidNotTakeIsDurable(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.want(s.post("/v1/passport", passport("P0", canary+"0")), http.StatusAccepted, "")
	s.s3.Use(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(w, r)
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/records/") {
			s.redis.SetError("LOADING Redis is loading the dataset in memory")
		}
	})
	s.want(s.post("/v1/passport", passport("P1", canary+"1")), http.StatusServiceUnavailable, "redis_unreachable")
	s.s3.Use(nil)
	s.redis.SetError("")
	if rec := s.record(tasks.Passport, "P1"); rec.State != storage.StateQueued {
		t.Errorf("state %s", rec.State)
	}
	s.want(s.post("/v1/passport", passport("P1", canary+"1")), http.StatusAccepted, "")
}

func TestAKeyHasAsManyPendingJobsAsItMay(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *api.Config) { c.MaxPending = 2 })
	for i := range 2 {
		s.want(s.post("/v1/passport", passport(fmt.Sprintf("P%d", i), canary+"1")), http.StatusAccepted, "")
	}
	full := s.post("/v1/passport", passport("P2", canary+"1"))
	s.want(full, http.StatusTooManyRequests, "too_many_pending")
	if full.header.Get("Retry-After") == "" {
		t.Error("429 without Retry-After")
	}
	s.want(s.post("/v1/passport", passport("P1", canary+"1")), http.StatusOK, "") // it is counted already
	s.want(s.sendAs(s.tokens[api.ScopeSubmit], http.MethodPost, "/v1/passport", strings.NewReader(passport("Q1", canary+"1")), "Content-Type", jsonType), http.StatusAccepted, "")
	s.want(s.post("/v1/passport", passport("Q1", canary+"2")), http.StatusTooManyRequests, "too_many_pending")
	s.edit(tasks.Passport, "P0", finish(storage.StateValid))
	s.want(s.post("/v1/passport", passport("P2", canary+"1")), http.StatusAccepted, "")
	s.want(s.post("/v1/passport", passport("P3", canary+"1")), http.StatusTooManyRequests, "too_many_pending")
}

// The limit of a key is one for its jobs and for the rows of all its batches.
func TestRowsOfBatchesArePendingJobs(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *api.Config) { c.MaxPending = 5 })
	first := s.upload("kind=passport&name=one", manifestOf(2))
	s.want(first, http.StatusAccepted, "")
	s.want(s.post("/v1/passport", passport("P1", canary+"1")), http.StatusAccepted, "")
	s.want(s.upload("kind=passport&name=two", manifestOf(3)), http.StatusTooManyRequests, "too_many_pending")
	s.want(s.upload("kind=passport&name=one", manifestOf(2)), http.StatusOK, "")
	s.want(s.upload("kind=passport&name=three", manifestOf(2)), http.StatusAccepted, "")
	s.want(s.post("/v1/passport", passport("P2", canary+"1")), http.StatusTooManyRequests, "too_many_pending")
	rdb := redis.NewClient(&redis.Options{Addr: s.redis.Addr()})
	t.Cleanup(func() { _ = rdb.Close() })
	control := batch.NewControl(rdb, s.store)
	if _, err := control.Batches.Edit(t.Context(), first.field("id"), func(b *batch.Batch) error {
		b.State, b.EndedAt = batch.Ended, time.Now()
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	s.want(s.post("/v1/passport", passport("P2", canary+"1")), http.StatusAccepted, "")
	s.want(s.upload("kind=passport&name=two", manifestOf(3)), http.StatusTooManyRequests, "too_many_pending")
	s.redis.FlushAll() // begins the count of jobs anew
	s.want(s.upload("kind=passport&name=two", manifestOf(3)), http.StatusAccepted, "")
	s.want(s.upload("kind=passport&name=four", manifestOf(1)), http.StatusTooManyRequests, "too_many_pending")
	s.want(s.post("/v1/passport", passport("P4", canary+"1")), http.StatusTooManyRequests, "too_many_pending")
}

func TestOutagesSayWhatToDo(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.s3.Use(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(http.StatusForbidden) })
	denied := s.post("/v1/passport", passport("P1", canary+"1"))
	s.want(denied, http.StatusServiceUnavailable, "misconfigured")
	if !strings.Contains(s.log.String(), denied.header.Get("Request-Id")) {
		t.Errorf("the log does not name the request: %s", s.log)
	}
	s.s3.Use(nil)
	s.redis.SetError("LOADING Redis is loading the dataset in memory")
	down := s.post("/v1/passport", passport("P1", canary+"1"))
	s.want(down, http.StatusServiceUnavailable, "redis_unreachable")
	if down.header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	if a := s.sendAs("", http.MethodGet, "/readyz", nil); a.status != http.StatusServiceUnavailable {
		t.Errorf("/readyz without Redis: %d", a.status)
	}
}
