package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/api"
	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/batch/submit"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func TestWaitingEndsWithTheJob(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.run()
	s.want(s.post("/v1/passport", passport("P1", canary+"1")), http.StatusAccepted, "")
	answers := make(chan answer, 1)
	go func() { answers <- s.send(http.MethodGet, "/v1/jobs/passport/P1", nil, "Prefer", "wait=25") }()
	waitFor(t, s, "kycq_api_waiting_requests 1")
	s.edit(tasks.Passport, "P1", finish(storage.StateValid))
	began := time.Now()
	for subscribed := 0; subscribed == 0; <-time.After(time.Millisecond) { // the API subscribes in the background
		subscribed = s.redis.Publish("asynq:kycq:finished", "passport/P1")
	}
	a := <-answers
	s.want(a, http.StatusOK, "")
	if a.field("state") != "valid" {
		t.Errorf("%s after %s", a.body, time.Since(began))
	}
}

// waitFor waits for a line of /metrics.
func waitFor(t *testing.T, s *server, line string) {
	t.Helper()
	for range 10_000 {
		if strings.Contains(string(s.sendAs("", http.MethodGet, "/metrics", nil).body), line+"\n") {
			return
		}
	}
	t.Fatalf("no %s", line)
}

func TestAShutdownAnswersThoseWhoWait(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.want(s.post("/v1/passport", passport("P1", canary+"1")), http.StatusAccepted, "")
	answers := make(chan answer, 25)
	for range 25 { // five more than a key may have
		go func() {
			answers <- s.send(http.MethodGet, "/v1/jobs/passport/P1", nil, "Prefer", "respond-async, wait=25")
		}()
	}
	for range 5 {
		s.want(<-answers, http.StatusOK, "")
	}
	waitFor(t, s, "kycq_api_waiting_requests 20")
	if err := s.api.Close(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		a := <-answers
		s.want(a, http.StatusOK, "")
		if a.field("state") != "queued" {
			t.Errorf("%s", a.body)
		}
	}
}

// mask gives an aadhaar job a masked image.
func (s *server) mask(id string, image []byte) {
	s.t.Helper()
	bucket, key, err := s.store.PutMasked(s.t.Context(), id, 1, "png", "image/png", image)
	if err != nil {
		s.t.Fatal(err)
	}
	s.edit(tasks.Aadhaar, id, func(rec *storage.Record) {
		finish(storage.StateValid)(rec)
		rec.MaskedImage = &storage.MaskedImage{Bucket: bucket, Key: key, ContentType: "image/png", Bytes: int64(len(image)), Width: 16, Height: 16}
	})
}

func TestAMaskedImageIsServedAsItIsStored(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.want(s.send(http.MethodPost, "/v1/aadhaar?verification_id=A1", bytes.NewReader(picture(1, 100)), "Content-Type", "image/png"), http.StatusAccepted, "")
	masked := picture(2, 100)
	s.mask("A1", masked)
	job := s.send(http.MethodGet, "/v1/jobs/aadhaar/A1", nil)
	s.want(job, http.StatusOK, "")
	if !strings.Contains(string(job.body), `"url":"/v1/jobs/aadhaar/A1/image"`) || strings.Contains(string(job.body), "masked/A1") {
		t.Errorf("job: %s", job.body)
	}
	a := s.send(http.MethodGet, "/v1/jobs/aadhaar/A1/image", nil)
	if a.status != http.StatusOK || !bytes.Equal(a.body, masked) || a.header.Get("Content-Type") != "image/png" || a.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d %v", a.status, a.header)
	}
}

func TestRevealIsAuditedFirst(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.want(s.post("/v1/passport", passport("P1", canary+"1")), http.StatusAccepted, "")
	sealed, err := s.keyset.Seal([]byte(`{"http_status":200,"image_link":"https://link","name":"`+canary+`"}`), tasks.AnswerBinding(tasks.Passport, "P1"))
	if err != nil {
		t.Fatal(err)
	}
	s.edit(tasks.Passport, "P1", func(rec *storage.Record) {
		finish(storage.StateValid)(rec)
		rec.Sealed = sealed
	})
	path := "/v1/jobs/passport/P1/answer"
	s.want(s.send(http.MethodGet, path, nil), http.StatusUnprocessableEntity, "invalid_input")
	a := s.send(http.MethodGet, path+"?reason=complaint+17", nil)
	if a.status != http.StatusOK || !strings.Contains(string(a.body), canary) || strings.Contains(string(a.body), "link") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if trail := s.trail(); len(trail) != 1 || trail[0].Action != "reveal" || trail[0].User != "key-all" || trail[0].Reason != "complaint 17" {
		t.Errorf("audit trail: %+v", trail)
	}
	s.denyAudit()
	s.want(s.send(http.MethodGet, path+"?reason=again", nil), http.StatusServiceUnavailable, "misconfigured")
}

// denyAudit makes S3 refuse audit events.
func (s *server) denyAudit() {
	s.s3.Use(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.Contains(r.URL.Path, "/audit/") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
	s.t.Cleanup(func() { s.s3.Use(nil) })
}

func TestAnActionWithoutItsAuditEventDoesNotHappen(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, id := range []string{"A1", "A2"} { // unfinished, and in review
		s.want(s.send(http.MethodPost, "/v1/aadhaar?verification_id="+id, bytes.NewReader(picture(1, 100)), "Content-Type", "image/png"), http.StatusAccepted, "")
	}
	if _, _, err := s.store.PutQuarantine(t.Context(), "A2", "image/png", picture(2, 10_000)); err != nil {
		t.Fatal(err)
	}
	s.edit(tasks.Aadhaar, "A2", func(rec *storage.Record) {
		finish(storage.StateFailed)(rec)
		rec.Code, rec.Review = "unsafe_mask", "visible_qr"
	})
	s.denyAudit()
	for _, path := range []string{"A1/cancel", "A2/retry", "A2/approve", "A2/reject"} {
		s.want(s.post("/v1/jobs/aadhaar/"+path, `{"reason":"trial"}`), http.StatusServiceUnavailable, "misconfigured")
	}
	if rec := s.record(tasks.Aadhaar, "A1"); rec.State != storage.StateQueued {
		t.Errorf("A1: %s", rec.State)
	}
	if rec := s.record(tasks.Aadhaar, "A2"); rec.State != storage.StateFailed || rec.Run != 1 || rec.Review != "visible_qr" {
		t.Errorf("A2: %s, run %d, review %q", rec.State, rec.Run, rec.Review)
	}
}

// event is a part of an audit event.
type event struct {
	Action, User, Reason, VerificationID string
}

func (s *server) trail() []event {
	s.t.Helper()
	objects, err := s.s3.Objects(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var events []event
	for _, o := range objects {
		var e event
		if strings.HasPrefix(o.Key, "audit/") && !strings.HasSuffix(o.Key, "head.json") {
			if err := json.Unmarshal(o.Body, &e); err != nil {
				s.t.Fatal(err)
			}
			if e.Action != "" { // else the index of the chains
				events = append(events, e)
			}
		}
	}
	return events
}

func TestOperatorsRetryAndCancel(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.want(s.post("/v1/passport", passport("P1", canary+"1")), http.StatusAccepted, "")
	do := func(action string) answer { return s.post("/v1/jobs/passport/P1/"+action, `{"reason":"trial"}`) }
	s.want(s.post("/v1/jobs/passport/P1/cancel", `{}`), http.StatusUnprocessableEntity, "invalid_input")
	s.want(do("retry"), http.StatusConflict, "not_finished")
	cancelled := do("cancel")
	s.want(cancelled, http.StatusAccepted, "")
	if n := s.tasksOf("passport-live"); cancelled.field("state") != "cancelled" || n != 0 {
		t.Errorf("%d tasks, %s", n, cancelled.body)
	}
	retried := do("retry")
	s.want(retried, http.StatusAccepted, "")
	if rec := s.record(tasks.Passport, "P1"); retried.field("state") != "queued" || rec.Run != 2 {
		t.Errorf("run %d: %s", rec.Run, retried.body)
	}
	s.edit(tasks.Passport, "P1", finish(storage.StateValid))
	s.want(do("cancel"), http.StatusConflict, "already_final")
	s.want(do("approve"), http.StatusConflict, "not_in_review")
	s.want(s.post("/v1/jobs/passport/NONE/retry", `{"reason":"trial"}`), http.StatusNotFound, "not_found")
	for _, e := range s.trail() {
		if e.User != "key-all" || e.Reason != "trial" {
			t.Errorf("audit event: %+v", e)
		}
	}
}

// review makes an aadhaar job whose masked image waits for a decision.
func (s *server) review(id string) {
	s.t.Helper()
	s.want(s.send(http.MethodPost, "/v1/aadhaar?verification_id="+id, bytes.NewReader(picture(1, 100)), "Content-Type", "image/png"), http.StatusAccepted, "")
	if _, _, err := s.store.PutQuarantine(s.t.Context(), id, "image/png", picture(2, 10_000)); err != nil {
		s.t.Fatal(err)
	}
	s.edit(tasks.Aadhaar, id, func(rec *storage.Record) {
		finish(storage.StateFailed)(rec)
		rec.Code, rec.Review = "unsafe_mask", "visible_qr"
	})
}

func TestReviewsAreDecided(t *testing.T) {
	t.Parallel()
	s := start(t)
	for i, action := range []string{"approve", "reject"} {
		id := fmt.Sprintf("A%d", i)
		s.review(id)
		if list := s.list("/v1/jobs?review=true"); len(list.Items) != 1 || list.Items[0].VerificationID != id || list.Items[0].Review != "visible_qr" {
			t.Errorf("in review: %+v", list)
		}
		a := s.post("/v1/jobs/aadhaar/"+id+"/"+action, `{"reason":"looked at"}`)
		s.want(a, http.StatusAccepted, "")
		if want := []string{"valid", "failed"}[i]; a.field("state") != want || !strings.HasSuffix(a.field("review"), "key-all: looked at") {
			t.Errorf("%s: %s", action, a.body)
		}
	}
	if list := s.list("/v1/jobs?review=true"); len(list.Items) != 0 {
		t.Errorf("in review after the decisions: %+v", list)
	}
}

func (s *server) list(path string) api.JobList {
	s.t.Helper()
	a := s.send(http.MethodGet, path, nil)
	s.want(a, http.StatusOK, "")
	var list api.JobList
	if err := json.Unmarshal(a.body, &list); err != nil {
		s.t.Fatal(err)
	}
	return list
}

// pages reads all pages of a list.
func (s *server) pages(path string) (ids []string) {
	s.t.Helper()
	for next := ""; ; {
		list := s.list(path + "&after=" + next)
		for _, j := range list.Items {
			ids = append(ids, j.VerificationID)
		}
		if next = list.Next; next == "" {
			return ids
		}
	}
}

func TestListsHaveEveryJobOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	want := []string{"A1"}
	s.want(s.send(http.MethodPost, "/v1/aadhaar?verification_id=A1", bytes.NewReader(picture(1, 100)), "Content-Type", "image/png"), http.StatusAccepted, "")
	for i := range 7 {
		id := fmt.Sprintf("P%d", i)
		want = append(want, id)
		s.want(s.post("/v1/passport", passport(id, canary+"1")), http.StatusAccepted, "")
	}
	for _, limit := range []int{1, 3, 200} {
		if got := s.pages(fmt.Sprintf("/v1/jobs?open=true&limit=%d", limit)); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("open jobs by %d: %v", limit, got)
		}
	}
	s.edit(tasks.Passport, "P3", func(rec *storage.Record) { rec.State, rec.Reason = storage.StateWaiting, "answer_unknown" })
	waiting := s.list("/v1/jobs?open=true&state=waiting&kind=passport")
	if len(waiting.Items) != 1 || waiting.Items[0].VerificationID != "P3" || waiting.Items[0].Blocked == nil || waiting.Items[0].Blocked.Reason != "no_worker" {
		t.Errorf("waiting jobs: %+v", waiting)
	}
	for _, query := range []string{"", "?open=true&review=true", "?state=valid", "?open=true&limit=201", "?open=true&after=%7E", "?open=true&after=eA", "?batch=x-00000000&after=eA"} {
		s.want(s.send(http.MethodGet, "/v1/jobs"+query, nil), http.StatusUnprocessableEntity, "invalid_input")
	}
	s.want(s.send(http.MethodGet, "/v1/jobs?batch=x-00000000", nil), http.StatusNotFound, "not_found")
}

// The reasons are those of the command line. Records are in S3, so a job can be read without Redis.
func TestABlockedJobNamesTheCause(t *testing.T) {
	t.Parallel()
	s := start(t)
	id := s.upload("kind=passport&name=p", manifestOf(1)).field("id")
	s.want(s.post("/v1/batches/"+id+"/pause", `{"reason":"trial"}`), http.StatusAccepted, "")
	for job, row := range map[string]string{"P1": "", "P2": id} {
		s.want(s.post("/v1/passport", passport(job, canary+"1")), http.StatusAccepted, "")
		s.edit(tasks.Passport, job, func(rec *storage.Record) { rec.Batch = row })
	}
	want := func(reason string, a answer) {
		t.Helper()
		if a.status != http.StatusOK || !strings.Contains(string(a.body), `"blocked":{"reason":"`+reason+`"`) {
			t.Errorf("want %s: %d %s", reason, a.status, a.body)
		}
	}
	want("no_worker", s.send(http.MethodGet, "/v1/jobs/passport/P1", nil))
	want("batch_paused", s.send(http.MethodGet, "/v1/jobs/passport/P2", nil))
	if jobs := s.list("/v1/jobs?open=true").Items; len(jobs) != 2 || jobs[0].Blocked.Reason != "no_worker" || jobs[1].Blocked.Reason != "batch_paused" {
		t.Errorf("open jobs: %+v", jobs)
	}
	s.redis.SetError("LOADING Redis is loading the dataset in memory")
	want("unreachable", s.send(http.MethodGet, "/v1/jobs/passport/P1", nil))
	s.edit(tasks.Passport, "P1", finish(storage.StateValid))
	if a := s.send(http.MethodGet, "/v1/jobs/passport/P1", nil); a.status != http.StatusOK || strings.Contains(string(a.body), "blocked") {
		t.Errorf("a final job: %d %s", a.status, a.body)
	}
}

type silent struct{}

func (silent) Begin(string, int64, string) {}
func (silent) Add(int64)                   {}

func TestRowsOfABatchAreListed(t *testing.T) {
	t.Parallel()
	s := start(t)
	text := "verification_id,file_number,dob\n"
	var want []string
	for i := range 120 {
		want = append(want, fmt.Sprintf("R%03d", i))
		text += want[i] + ",SPECIMEN1,1990-01-31\n"
	}
	source, err := submit.Open(t.Context(), submit.Options{
		Kind: tasks.Passport, Path: "-", Stdin: strings.NewReader(text), Name: "people", Keyset: s.keyset, Rejects: t.TempDir() + "/rejects.csv",
	}, silent{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	plan, err := source.Check(t.Context(), s.store, silent{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := (&submit.Writer{Source: source, Plan: plan, Store: s.store, Progress: silent{}}).Write(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := batch.NewStore(s.store).Accept(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	// One row has a record of its own, and one id belongs to another input.
	for id, number := range map[string]string{"R001": "SPECIMEN1", "R002": canary + "2"} {
		s.want(s.post("/v1/passport", `{"verification_id":"`+id+`","file_number":"`+number+`","dob":"1990-01-31"}`), http.StatusAccepted, "")
		s.edit(tasks.Passport, id, func(rec *storage.Record) {
			finish(storage.StateInvalid)(rec)
			rec.Passport = &storage.PassportView{Matches: storage.Matches{Name: storage.MatchNo, DOB: storage.NotTold, FileNumber: storage.MatchYes}}
		})
	}
	for _, limit := range []int{7, 200} {
		if got := s.pages(fmt.Sprintf("/v1/jobs?batch=%s&limit=%d", b.ID, limit)); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("rows by %d: %v", limit, got)
		}
	}
	if list := s.list("/v1/jobs?batch=" + b.ID + "&mismatch=true"); len(list.Items) != 1 || list.Items[0].VerificationID != "R001" {
		t.Errorf("mismatches: %+v", list)
	}
	if list := s.list("/v1/jobs?batch=" + b.ID + "&code=different_input"); len(list.Items) != 1 || list.Items[0].VerificationID != "R002" || list.Items[0].Matches != nil {
		t.Errorf("conflicts: %+v", list)
	}
	if list := s.list("/v1/jobs?batch=" + b.ID + "&state=queued"); len(list.Items) != 50 || list.Items[0].VerificationID != "R000" {
		t.Errorf("queued: %d", len(list.Items))
	}
}

// An error would make clients repeat the retry, which may start, and pay for, another run.
func TestARetryThatIsRecordedIsAcceptedWithoutRedis(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.want(s.post("/v1/passport", passport("P1", "X1")), http.StatusAccepted, "")
	s.edit(tasks.Passport, "P1", finish(storage.StateFailed))
	s.redis.SetError("LOADING Redis is loading the dataset in memory")
	s.want(s.post("/v1/jobs/passport/P1/retry", `{"reason":"trial"}`), http.StatusAccepted, "")
	if run := s.record(tasks.Passport, "P1").Run; run != 2 {
		t.Errorf("run %d, want 2", run)
	}
}
