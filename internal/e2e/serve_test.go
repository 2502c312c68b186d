package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/access"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// apiServer is a running kycq serve.
type apiServer struct {
	t          testing.TB
	process    *process
	url, token string
	keys       string // file of keys
}

// serveAPI starts kycq serve with a key for everything.
func (s *stack) serveAPI() *apiServer {
	s.t.Helper()
	a := &apiServer{t: s.t, keys: filepath.Join(s.dir, "api.keys")}
	token, stderr, code := s.run(nil, "serve", "key", "--name", "app1", "--scope", "submit,read,operate,reveal", "--file", a.keys)
	if code != 0 {
		s.t.Fatalf("serve key: exit code %d\n%s", code, stderr)
	}
	a.token = strings.TrimSpace(token)
	a.process = s.start("serve", "--api-keys-file", a.keys)
	eventually(s.t, func() bool {
		for line := range strings.Lines(a.process.read(s.t)) {
			if strings.HasPrefix(line, "http://") {
				a.url = strings.TrimSpace(line)
			}
		}
		return a.url != ""
	})
	return a
}

// call sends a request. headers are pairs of name and value.
func (a *apiServer) call(method, path string, body io.Reader, headers ...string) (status int, text []byte) {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.url+path, body)
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	for i := 0; i < len(headers); i += 2 { // the last value of a header is sent
		req.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		a.t.Errorf("%s %s: %v", method, path, err)
		return 0, nil
	}
	defer func() { _ = resp.Body.Close() }()
	text, err = io.ReadAll(resp.Body)
	if err != nil {
		a.t.Errorf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, text
}

func TestTheAPIFromTheSubmissionToTheResult(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start("worker")
	a := s.roles()[access.Serve].serveAPI()
	status, text := a.call(http.MethodPost, "/v1/passport", strings.NewReader(`{"verification_id":"P1","file_number":"`+canary+`00001","dob":"1990-01-31"}`),
		"Content-Type", "application/json")
	if status != http.StatusAccepted {
		t.Fatalf("passport: %d %s", status, text)
	}
	if status, text = a.call(http.MethodPost, "/v1/aadhaar?verification_id=A1", bytes.NewReader(cardJPEG()), "Content-Type", "image/jpeg"); status != http.StatusAccepted {
		t.Fatalf("aadhaar: %d %s", status, text)
	}
	for _, path := range []string{"/v1/jobs/passport/P1", "/v1/jobs/aadhaar/A1"} {
		var job struct{ State string }
		eventually(t, func() bool {
			status, text = a.call(http.MethodGet, path, nil, "Prefer", "wait=25")
			return status == http.StatusOK && json.Unmarshal(text, &job) == nil && job.State == "valid"
		})
		if strings.Contains(string(text), canary) {
			t.Errorf("%s holds personal data: %s", path, text)
		}
	}
	if status, text = a.call(http.MethodGet, "/v1/jobs/aadhaar/A1/image", nil); status != http.StatusOK || !bytes.HasPrefix(text, []byte("\xff\xd8")) {
		t.Errorf("image: %d, %d bytes", status, len(text))
	}
	if status, text = a.call(http.MethodGet, "/v1/jobs/passport/P1/answer?reason=trial", nil); status != http.StatusOK {
		t.Errorf("answer: %d %s", status, text)
	}
	a.operate(s)
	if text := a.process.read(t); strings.Contains(text, "NOPERM") || strings.Contains(text, "denied") {
		t.Errorf("something was refused:\n%s", text)
	}
	// A key that is removed from the file stops within 5 s; the poll is each 2 s.
	if err := os.WriteFile(a.keys, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	revoked := time.Now()
	eventually(t, func() bool {
		status, _ = a.call(http.MethodGet, "/v1/jobs/passport/P1", nil)
		return status == http.StatusUnauthorized
	})
	t.Logf("revoked after %s", time.Since(revoked))
	a.process.terminate(t)
}

// operate does everything that needs the scope operate, and refuses an upload, which is deleted again. P1 and A1 are final.
func (a *apiServer) operate(s *stack) {
	a.t.Helper()
	want := func(status int, method, path, body string, headers ...string) []byte {
		a.t.Helper()
		got, text := a.call(method, path, strings.NewReader(body), append([]string{"Content-Type", "application/json"}, headers...)...)
		if got != status {
			a.t.Errorf("%s %s: %d, want %d\n%s", method, path, got, status, text)
		}
		return text
	}
	reason := `{"reason":"trial"}`
	want(http.StatusConflict, http.MethodPost, "/v1/aadhaar?verification_id=A1", string(cardJPEG())+"x", "Content-Type", "image/jpeg")
	want(http.StatusAccepted, http.MethodPost, "/v1/jobs/passport/P1/retry", reason)
	s.wait("passport", "P1")
	want(http.StatusAccepted, http.MethodPost, "/v1/fleet/pause", reason)
	want(http.StatusAccepted, http.MethodPost, "/v1/passport", `{"verification_id":"P2","file_number":"`+canary+`00002","dob":"1990-01-31"}`)
	if text := want(http.StatusOK, http.MethodGet, "/v1/jobs?open=true", ""); !bytes.Contains(text, []byte(`"P2"`)) || !bytes.Contains(text, []byte(`"blocked":{"reason":"paused"`)) {
		a.t.Errorf("open jobs: %s", text)
	}
	want(http.StatusAccepted, http.MethodPost, "/v1/jobs/passport/P2/cancel", reason)
	manifest, asCSV := "verification_id,file_number,dob\nR1,"+canary+"00003,1990-01-31\n", []string{"Content-Type", "text/csv"}
	want(http.StatusOK, http.MethodPost, "/v1/batches?kind=passport&dry_run=true", manifest, asCSV...)
	var batch struct{ ID string }
	if err := json.Unmarshal(want(http.StatusAccepted, http.MethodPost, "/v1/batches?kind=passport", manifest, asCSV...), &batch); err != nil {
		a.t.Error(err)
	}
	want(http.StatusOK, http.MethodPost, "/v1/batches/"+batch.ID+"/retry", reason)
	for _, action := range []string{"pause", "resume", "cancel"} {
		want(http.StatusAccepted, http.MethodPost, "/v1/batches/"+batch.ID+"/"+action, reason)
	}
	for _, path := range []string{"/v1/fleet", "/v1/batches", "/v1/batches/" + batch.ID, "/v1/batches/" + batch.ID + "/report", "/v1/batches/" + batch.ID + "/failures"} {
		if text := want(http.StatusOK, http.MethodGet, path, ""); bytes.Contains(text, []byte(canary)) {
			a.t.Errorf("%s holds personal data: %s", path, text)
		}
	}
	want(http.StatusAccepted, http.MethodPost, "/v1/fleet/resume", reason)
	for _, action := range []string{"reject", "approve"} {
		if _, _, err := s.store.PutQuarantine(a.t.Context(), "A1", "image/jpeg", cardJPEG()); err != nil {
			a.t.Fatal(err)
		}
		rec, version, err := s.store.Record(a.t.Context(), tasks.Aadhaar, "A1")
		if err != nil {
			a.t.Fatal(err)
		}
		rec.State, rec.Code, rec.Review = storage.StateFailed, "unsafe_mask", "visible_qr"
		if _, err := s.store.SwapRecord(a.t.Context(), rec, version); err != nil {
			a.t.Fatal(err)
		}
		if text := want(http.StatusOK, http.MethodGet, "/v1/jobs?review=true", ""); !bytes.Contains(text, []byte(`"A1"`)) {
			a.t.Errorf("jobs in review: %s", text)
		}
		want(http.StatusAccepted, http.MethodPost, "/v1/jobs/aadhaar/A1/"+action, reason)
	}
}

// BenchmarkMemoryOf64UploadsAtOnce sends 64 images of 10 MB to one server at the same time, and reports its peak resident
// memory. Six are in memory at once: the limit is 128 MiB.
func BenchmarkMemoryOf64UploadsAtOnce(b *testing.B) {
	for range b.N {
		s := newStack(b)
		dir := b.TempDir()
		s.env = append(s.env, "TMPDIR="+dir)
		a := s.serveAPI()
		card := append(cardJPEG(), make([]byte, tasks.MaxImageBytes)...)[:tasks.MaxImageBytes]
		statuses := make(chan int, 64)
		for i := range 64 {
			go func() {
				status, _ := a.call(http.MethodPost, fmt.Sprintf("/v1/aadhaar?verification_id=large-%d", i), bytes.NewReader(card), "Content-Type", "image/jpeg")
				statuses <- status
			}()
		}
		count := map[int]int{}
		for range 64 {
			count[<-statuses]++
		}
		if count[http.StatusAccepted]+count[http.StatusServiceUnavailable] != 64 {
			b.Errorf("answers: %v", count)
		}
		if files, _ := os.ReadDir(dir); len(files) > 0 {
			b.Errorf("%d temporary files", len(files))
		}
		b.ReportMetric(float64(peakMemory(b, a.process.cmd.Process.Pid))/(1<<20), "peak-MiB")
		b.ReportMetric(float64(count[http.StatusAccepted]), "accepted")
		a.process.terminate(b)
	}
}
