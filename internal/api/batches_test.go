package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/api"
	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// manifestOf is a manifest of passports.
func manifestOf(rows int) string {
	var text strings.Builder
	text.WriteString("verification_id,file_number,dob,name\n")
	for i := range rows {
		_, _ = fmt.Fprintf(&text, "B%05d,%s%05d,1990-01-31,%s Person\n", i, canary, i, canary)
	}
	return text.String()
}

func (s *server) upload(query, body string) answer {
	s.t.Helper()
	return s.send(http.MethodPost, "/v1/batches?"+query, strings.NewReader(body), "Content-Type", "text/csv")
}

// number returns a number of a JSON object, by its path.
func (a answer) number(path ...string) int {
	var v any
	_ = json.Unmarshal(a.body, &v)
	for _, name := range path {
		object, _ := v.(map[string]any)
		v = object[name]
	}
	n, _ := v.(float64)
	return int(n)
}

func TestABatchIsAcceptedOnce(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	s := start(t)
	body := manifestOf(2500)
	dry := s.upload("kind=passport&name=march&dry_run=true", body)
	s.want(dry, http.StatusOK, "")
	if dry.field("state") != "checked" || dry.number("check", "calls") != 2500 || dry.number("check", "derived_ids") != 0 {
		t.Errorf("dry run: %s", dry.body)
	}
	id := dry.field("id")
	s.want(s.send(http.MethodGet, "/v1/batches/"+id, nil), http.StatusNotFound, "not_found")
	first := s.upload("kind=passport&name=march", body)
	s.want(first, http.StatusAccepted, "")
	if first.field("id") != id || first.header.Get("Location") != "/v1/batches/"+id || first.number("rows") != 2500 {
		t.Errorf("202: %v %s", first.header, first.body)
	}
	s.want(s.upload("kind=passport&name=march", body), http.StatusOK, "")
	s.want(s.upload("kind=passport&name=march&ids_for=2027", body), http.StatusConflict, "other_batch")
	got := s.send(http.MethodGet, "/v1/batches/"+id, nil)
	s.want(got, http.StatusOK, "")
	if got.field("state") != "running" || got.number("waiting") != 2500 || !strings.Contains(string(got.body), `"reason":"`) {
		t.Errorf("batch: %s", got.body)
	}
	if s.events("batch.submit") != 1 {
		t.Error("the submission is not audited once")
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("%d temporary files (%v)", len(files), err)
	}
	list := s.send(http.MethodGet, "/v1/jobs?batch="+id+"&limit=2", nil)
	s.want(list, http.StatusOK, "")
	for _, a := range []answer{dry, first, got, list} {
		if strings.Contains(string(a.body), canary) {
			t.Errorf("personal data: %s", a.body)
		}
	}
}

// events counts the events of an action in the audit trail.
func (s *server) events(action string) (n int) {
	s.t.Helper()
	for _, e := range s.trail() {
		if e.Action == action {
			n++
		}
	}
	return n
}

func TestRejectedRowsAreListedAndNothingIsSubmitted(t *testing.T) {
	t.Parallel()
	s := start(t)
	body := "verification_id,file_number,dob\nG1," + canary + "1,1990-01-31\n" + strings.Repeat(canary+"/,-,31.01.1990\n", 150)
	a := s.upload("kind=passport", body)
	s.want(a, http.StatusUnprocessableEntity, "rows_rejected")
	var p struct {
		Errors []struct {
			Line int
			Code string
		}
	}
	_ = json.Unmarshal(a.body, &p)
	if len(p.Errors) != 100 || p.Errors[0].Line != 3 || a.number("counts", "rejected") != 150 || a.number("counts", "rows") != 1 {
		t.Errorf("%d problems: %s", len(p.Errors), a.body)
	}
	if strings.Contains(string(a.body), canary) {
		t.Error("the answer repeats the manifest")
	}
	s.want(s.send(http.MethodGet, "/v1/batches", nil), http.StatusOK, "")
	good := s.upload("kind=passport&allow_rejects=true", body)
	s.want(good, http.StatusAccepted, "")
	if good.number("check", "rejected") != 150 || good.number("rows") != 1 {
		t.Errorf("with allow_rejects: %s", good.body)
	}
}

func TestEachInvalidFieldOfARowIsNamed(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.upload("kind=passport", "verification_id,file_number,dob\nP 1,-,1990-01-31\n")
	s.want(a, http.StatusUnprocessableEntity, "rows_rejected")
	for _, want := range []string{`"pointer":"/verification_id","line":2`, `"pointer":"/file_number","line":2`} {
		if !strings.Contains(string(a.body), want) {
			t.Errorf("%s is not in %s", want, a.body)
		}
	}
}

func TestManifestsThatCannotBeTaken(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *api.Config) { c.MaxPending = 2 })
	for name, c := range map[string]struct {
		query, kind, body string
		status            int
		code              string
	}{
		"no kind":           {"", "text/csv", manifestOf(1), 422, "invalid_input"},
		"a bad name":        {"kind=passport&name=a%2Fb", "text/csv", manifestOf(1), 422, "invalid_input"},
		"a bad label":       {"kind=passport&ids_for=%20", "text/csv", manifestOf(1), 422, "invalid_input"},
		"JSON":              {"kind=passport", "application/json", "{}", 415, "media_type"},
		"other text":        {"kind=passport", "text/csv; charset=utf-16", manifestOf(1), 415, "media_type"},
		"a spreadsheet":     {"kind=passport", "text/csv", "PK\x03\x04" + canary, 422, "file_invalid"},
		"no column":         {"kind=passport", "text/csv", canary + ",dob\n1,2\n", 422, "file_invalid"},
		"a misspelled one":  {"kind=passport", "text/csv", "file_nomber,dob\n" + canary + ",2\n", 422, "file_invalid"},
		"a misspelled key":  {"kind=passport", "application/x-ndjson", `{"file_number":"A1","dob":"1990-01-31","verificaton_id":"` + canary + `"}`, 422, "rows_rejected"},
		"nothing":           {"kind=passport", "text/csv", "", 422, "file_invalid"},
		"the same input":    {"kind=passport", "text/csv", "verification_id,file_number,dob\nC1,A1,1990-01-31\nC2,A1,1990-01-31\n", 422, "same_inputs"},
		"a path of a file":  {"kind=aadhaar", "text/csv", "image\n/etc/passwd\n", 422, "rows_rejected"},
		"too many rows":     {"kind=passport", "text/csv", manifestOf(3), 429, "too_many_pending"},
		"NDJSON is taken":   {"kind=passport", "application/x-ndjson", `{"file_number":"` + canary + `7","dob":"1990-01-31"}` + "\n", 202, ""},
		"a dry run of that": {"kind=passport&dry_run=true", "application/x-ndjson", `{"file_number":"` + canary + `8","dob":"1990-01-31"}`, 200, ""},
	} {
		a := s.send(http.MethodPost, "/v1/batches?"+c.query, strings.NewReader(c.body), "Content-Type", c.kind)
		if a.status != c.status || c.status >= 400 && a.field("code") != c.code || strings.Contains(string(a.body), canary) {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}

func TestBatchesAreListedInPages(t *testing.T) {
	t.Parallel()
	s := start(t)
	for i := range 3 {
		s.want(s.upload(fmt.Sprintf("kind=passport&name=n%d", i), manifestOf(i+1)), http.StatusAccepted, "")
	}
	next, seen := "", ""
	for range 3 {
		a := s.send(http.MethodGet, "/v1/batches?limit=1&after="+next, nil)
		s.want(a, http.StatusOK, "")
		var list struct {
			Items []struct{ ID string }
			Next  string
		}
		if err := json.Unmarshal(a.body, &list); err != nil || len(list.Items) != 1 {
			t.Fatalf("page: %s", a.body)
		}
		next, seen = list.Next, seen+list.Items[0].ID[:2]
	}
	if seen != "n0n1n2" || next != "" {
		t.Errorf("seen %s, then %q", seen, next)
	}
}

// failedRow writes the record of a row that has failed.
func (s *server) failedRow(job tasks.Job) {
	s.t.Helper()
	spec, err := s.client.Prepare(job)
	if err == nil {
		_, err = s.store.CreateRecord(s.t.Context(), &storage.Record{
			JobSpec: spec, State: storage.StateFailed, Code: "provider_error", CompletedAt: time.Now().UTC(),
		})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestReportsHoldNoInput(t *testing.T) {
	t.Parallel()
	s := start(t)
	id := s.upload("kind=passport&name=r", manifestOf(3)).field("id")
	csv := s.send(http.MethodGet, "/v1/batches/"+id+"/report", nil)
	lines := strings.Split(strings.TrimSpace(string(csv.body)), "\n")
	if csv.status != http.StatusOK || len(lines) != 4 || !strings.HasPrefix(lines[1], "2,B00000,queued,") || !strings.HasPrefix(csv.header.Get("Content-Type"), "text/csv") {
		t.Errorf("CSV: %d %v\n%s", csv.status, csv.header, csv.body)
	}
	rows := s.send(http.MethodGet, "/v1/batches/"+id+"/report?outcome=queued", nil, "Accept", "application/x-ndjson")
	if rows.status != http.StatusOK || strings.Count(string(rows.body), "\n") != 3 || !strings.Contains(string(rows.body), `"verification_id":"B00002"`) {
		t.Errorf("NDJSON: %d\n%s", rows.status, rows.body)
	}
	failures := s.send(http.MethodGet, "/v1/batches/"+id+"/failures", nil)
	if failures.status != http.StatusOK || strings.Count(string(failures.body), "\n") != 1 {
		t.Errorf("failures: %d\n%s", failures.status, failures.body)
	}
	for _, a := range []answer{csv, rows, failures} {
		if strings.Contains(string(a.body), canary) || strings.Contains(string(a.body), `"input"`) {
			t.Errorf("the input is in a report: %s", a.body)
		}
	}
	s.want(s.send(http.MethodGet, "/v1/batches/none-00000000/report", nil), http.StatusNotFound, "not_found")
}

func TestABatchIsPausedAndResumed(t *testing.T) {
	t.Parallel()
	s := start(t)
	id := s.upload("kind=passport&name=p", manifestOf(3)).field("id")
	for _, step := range []struct{ action, state string }{{"pause", "paused"}, {"pause", "paused"}, {"resume", "running"}, {"resume", "running"}} {
		a := s.post("/v1/batches/"+id+"/"+step.action, `{"reason":"trial"}`)
		s.want(a, http.StatusAccepted, "")
		if a.field("state") != step.state || strings.Contains(string(a.body), "batch_pause") != (step.state == "paused") {
			t.Errorf("%s: %s", step.action, a.body)
		}
	}
}

func TestABatchIsCancelledOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	id := s.upload("kind=passport&name=c", manifestOf(3)).field("id")
	for range 2 {
		a := s.post("/v1/batches/"+id+"/cancel", `{"reason":"trial"}`)
		s.want(a, http.StatusAccepted, "")
		if a.field("state") != "cancelled" {
			t.Errorf("%s", a.body)
		}
	}
	s.want(s.post("/v1/batches/"+id+"/retry", `{"reason":"trial"}`), http.StatusConflict, "batch_cancelled")
	s.want(s.upload("kind=passport&name=c", manifestOf(3)), http.StatusConflict, "batch_cancelled")
	for _, body := range []string{`{"reason":""}`, `{"reason":"trial","":["now"]}`} {
		s.want(s.post("/v1/batches/"+id+"/cancel", body), http.StatusUnprocessableEntity, "invalid_input")
	}
}

// A retry with the run that its client saw is paid for once, however often it is repeated.
func TestARetryOfABatchIsRepeatedSafely(t *testing.T) {
	t.Parallel()
	s := start(t)
	id := s.upload("kind=passport&name=t", manifestOf(2)).field("id")
	retry := func(body string) answer { return s.post("/v1/batches/"+id+"/retry", body) }
	s.want(retry(`{"reason":"trial"}`), http.StatusOK, "") // no row has failed
	b, err := batch.NewStore(s.store).Load(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	part, err := batch.PartsOf(s.store, s.keyset, b).Part(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	job, err := part.Items[0].Job(id, tasks.Passport, 1)
	if err != nil {
		t.Fatal(err)
	}
	s.failedRow(job)
	s.want(retry(`{"reason":"trial","codes":["not_found"]}`), http.StatusOK, "")
	s.want(retry(`{"reason":"trial","codes":["`+canary+` "]}`), http.StatusUnprocessableEntity, "invalid_input")
	for _, codes := range []string{`{}`, `[]`, `[["provider_error"]]`, `["a+b"]`} {
		s.want(retry(`{"reason":"trial","codes":`+codes+`}`), http.StatusUnprocessableEntity, "invalid_input")
	}
	most := `"not_found","provider_error"` + strings.Repeat(`,"`+strings.Repeat("x", 64)+`"`, 18)
	for i, status := range []int{http.StatusAccepted, http.StatusOK, http.StatusOK} {
		a := retry(`{"reason":"trial","run":1,"codes":[` + most + `]}`)
		s.want(a, status, "")
		if a.number("run") != 2 {
			t.Errorf("retry %d: %s", i, a.body)
		}
	}
	if n := s.events("batch.retry"); n != 1 {
		t.Errorf("%d retries are audited", n)
	}
}

func TestTheFleetIsPausedAndResumed(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.want(s.send(http.MethodGet, "/v1/fleet", nil), http.StatusOK, "")
	s.want(s.post("/v1/fleet/pause", `{"reason":"trial","kind":"pan"}`), http.StatusUnprocessableEntity, "invalid_input")
	s.want(s.post("/v1/fleet/resume", `{"reason":"trial","cause":"mood"}`), http.StatusUnprocessableEntity, "invalid_input")
	a := s.post("/v1/fleet/pause", `{"reason":"trial","kind":"passport"}`)
	s.want(a, http.StatusAccepted, "")
	if !strings.Contains(string(a.body), `"cause":"operator","kind":"passport"`) {
		t.Errorf("paused: %s", a.body)
	}
	s.want(s.post("/v1/passport", passport("P1", canary+"1")), http.StatusAccepted, "")
	if job := s.send(http.MethodGet, "/v1/jobs/passport/P1", nil); !strings.Contains(string(job.body), `"blocked":{"reason":"paused"`) {
		t.Errorf("a job of a paused kind: %s", job.body)
	}
	for range 2 {
		s.want(s.post("/v1/fleet/resume", `{"reason":"trial"}`), http.StatusAccepted, "")
	}
	if s.events("fleet.pause") != 1 || s.events("fleet.resume") != 2 {
		t.Error("the actions are not audited")
	}
}

// A retry with the run that its client saw is paid for once, also if its answer was lost.
func TestARetryOfAJobIsRepeatedSafely(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.want(s.post("/v1/passport", passport("P1", canary+"1")), http.StatusAccepted, "")
	retry := func(run string) answer {
		return s.post("/v1/jobs/passport/P1/retry", `{"reason":"trial","run":`+run+`}`)
	}
	s.want(retry("1"), http.StatusConflict, "not_finished")
	s.edit(tasks.Passport, "P1", finish(storage.StateFailed))
	s.want(retry("1"), http.StatusAccepted, "")
	for _, state := range []storage.State{storage.StateQueued, storage.StateFailed} {
		s.edit(tasks.Passport, "P1", finish(state))
		a := retry("1")
		s.want(a, http.StatusOK, "")
		if a.number("run") != 2 {
			t.Errorf("%s", a.body)
		}
	}
	s.want(retry(`"0"`), http.StatusUnprocessableEntity, "invalid_input")
	if n := s.events("job.retry"); n != 2 { // one was refused
		t.Errorf("%d events", n)
	}
}
