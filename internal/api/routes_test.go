package api_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/api"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

const described = "../../api/openapi.json"

// TestTheDescriptionIsUpToDate compares api/openapi.json with the code, and with what is served.
func TestTheDescriptionIsUpToDate(t *testing.T) {
	t.Parallel()
	s := start(t)
	served := s.sendAs("", http.MethodGet, "/openapi.json", nil)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(described, served.body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(described)
	if err != nil || !bytes.Equal(want, served.body) {
		t.Errorf("%s differs from the code (%v): run UPDATE_GOLDEN=1 go test ./internal/api -run Description", described, err)
	}
}

// route is an operation of the description.
type route struct{ method, path, scope string }

// fill returns a path with the ids of a batch and, if it has a kind, of a job of each.
func fill(path string) []string {
	paths := []string{
		strings.NewReplacer("{kind}", "passport", "{id}", "P1", "{batch}", "b-00000000").Replace(path),
		strings.NewReplacer("{kind}", "aadhaar", "{id}", "A1", "{batch}", "b-00000000").Replace(path),
	}
	return slices.Compact(paths)
}

// routes lists all operations, those of jobs for each kind.
func (s *server) routes() []route {
	s.t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			Security []map[string][]string `json:"security"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(s.sendAs("", http.MethodGet, "/openapi.json", nil).body, &doc); err != nil {
		s.t.Fatal(err)
	}
	var all []route
	for path, methods := range doc.Paths {
		for method, op := range methods {
			for _, filled := range fill(path) {
				all = append(all, route{strings.ToUpper(method), filled, op.Security[0]["key"][0]})
			}
		}
	}
	if len(all) < 10 {
		s.t.Fatalf("only %d operations are described", len(all))
	}
	return all
}

func TestNoRouteAnswersWithoutARightKey(t *testing.T) {
	t.Parallel()
	s := start(t)
	expired := api.NewToken()
	line, err := api.KeyLine("old", api.Scopes(), time.Now().Add(-time.Second), expired)
	if err != nil {
		t.Fatal(err)
	}
	right := api.NewToken()
	now, err := api.KeyLine("new", api.Scopes(), time.Now().Add(time.Hour), right)
	if err != nil {
		t.Fatal(err)
	}
	s.keys.Set(line + "\n" + now)
	routes := append(s.routes(), route{"GET", "/", ""}, route{"GET", "/v1", ""}, route{"GET", "/debug/pprof/", ""}, route{"DELETE", "/v1/jobs", ""},
		route{"GET", "/problems/", ""}, route{"GET", "/problems/unknown", ""}, route{"GET", "//livez", ""}, route{"GET", "/docs/", ""})
	public := []string{"/livez", "/readyz", "/metrics", "/openapi.json", "/docs"}
	for _, pattern := range s.api.Patterns() { // also what the description does not have
		method, path, _ := strings.Cut(pattern, " ")
		if path == "" {
			method, path = http.MethodGet, pattern
		}
		if slices.Contains(public, path) || strings.HasPrefix(path, "/problems/") {
			continue
		}
		for _, path := range fill(path) {
			if !slices.ContainsFunc(routes, func(r route) bool { return r.method == method && r.path == path }) {
				routes = append(routes, route{method, path, ""})
			}
		}
	}
	for _, r := range routes {
		for name, token := range map[string]string{"no": "", "a wrong": api.NewToken(), "an expired": expired, "a cut": right[:20], "a hash as": strings.Fields(now)[2]} {
			a := s.sendAs(token, r.method, r.path, nil)
			if a.status != http.StatusUnauthorized || a.field("code") != "key_missing" {
				t.Errorf("%s %s with %s key: %d %s", r.method, r.path, name, a.status, a.body)
			}
		}
		if a := s.sendAs(right, r.method, r.path, nil); a.status == http.StatusUnauthorized {
			t.Errorf("%s %s with a right key: %d", r.method, r.path, a.status)
		}
	}
}

func TestAKeyMayOnlyWhatItsScopeAllows(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, r := range s.routes() {
		for scope, token := range s.tokens {
			a := s.sendAs(token, r.method, r.path, nil)
			if refused := a.status == http.StatusForbidden; refused == (string(scope) == r.scope) {
				t.Errorf("%s %s (%s) with a key for %s: %d", r.method, r.path, r.scope, scope, a.status)
			}
		}
	}
}

func TestPublicPagesNeedNoKeyAndNoNetwork(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/problems/different_input"} {
		a := s.sendAs("", http.MethodGet, path, nil)
		if a.status != http.StatusOK || len(a.body) == 0 {
			t.Errorf("GET %s: %d", path, a.status)
		}
	}
	page := s.sendAs("", http.MethodGet, "/docs", nil)
	for _, r := range s.routes() {
		if !strings.Contains(string(page.body), ">"+r.method+"<") {
			t.Errorf("/docs does not show %s %s", r.method, r.path)
		}
	}
	if text := string(page.body); strings.Contains(text, "<script") || strings.Contains(text, "src=") || strings.Contains(text, "https://") {
		t.Error("/docs loads something")
	}
	if err := s.api.Close(); err != nil {
		t.Fatal(err)
	}
	if a := s.sendAs("", http.MethodGet, "/readyz", nil); a.status != http.StatusServiceUnavailable {
		t.Errorf("/readyz during a shutdown: %d", a.status)
	}
	if a := s.sendAs("", http.MethodGet, "/livez", nil); a.status != http.StatusOK {
		t.Errorf("/livez during a shutdown: %d", a.status)
	}
}

// The mux would redirect to the clean path, and repeat it.
func TestAPathThatIsNotCleanIsNotFound(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, path := range []string{"/v1//jobs/passport/P1", "/v1/jobs/../jobs/passport/P1", "/v1/jobs/passport/P1/"} {
		s.want(s.send(http.MethodGet, path, nil), http.StatusNotFound, "not_found")
	}
}

// TestEveryMetricIsDocumented compares the metrics of the API with docs/METRICS.md.
func TestEveryMetricIsDocumented(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.sendAs("", http.MethodGet, "/livez", nil)
	page, err := os.ReadFile("../../docs/METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(s.sendAs("", http.MethodGet, "/metrics", nil).body)) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == "TYPE" && strings.HasPrefix(f[2], "kycq_") && !strings.Contains(string(page), "`"+f[2]+"`") {
			t.Errorf("docs/METRICS.md lacks %s", f[2])
		}
	}
}

// TestHostileRequestsAreRefusedAndNotRepeated sends every operation what it does not expect. No answer is a 5xx, and none
// repeats anything of the request.
func TestHostileRequestsAreRefusedAndNotRepeated(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.want(s.post("/v1/passport", passport("P1", "SPECIMEN1")), http.StatusAccepted, "")
	s.review("A1")
	batchID := s.upload("kind=passport&name=b", "file_number,dob\nSPECIMEN2,1990-01-31\n").field("id")
	bodies := []string{
		"", canary, `"` + canary + `"`, "[]", "{}", "{", `{"` + canary + `":1}`, `{"reason":"` + canary + `\u0000"}`, `{"reason":["` + canary + `"]}`,
		`{"reason":{"` + canary + `":1}}`, `{"reason":true}`, `{"reason":"a","reason":"` + canary + `"}`, `{"reason":"` + strings.Repeat(canary, 100) + `"}`,
		`{"verification_id":"` + canary + `/..","file_number":"` + canary + `-","dob":"` + canary + `","name":"` + canary + `\u202e","lane":"` + canary + `"}`,
		`{"verification_id":1e9,"file_number":` + strings.Repeat("9", 400) + `,"dob":null}`, "\xff\xfe" + canary, strings.Repeat("[", 5000) + canary,
		"\x00" + canary, `{"file_number":"` + strings.Repeat("A", 100_000) + `"}`, "--x\r\nContent-Disposition: form-data; name=\"" + canary + "\"\r\n\r\n" + canary + "\r\n--x--",
		"--x\r\nContent-Disposition: form-data; name=\"image\"; filename=\"" + canary + "\"\r\n\r\n" + canary + "\r\n--x--", "--x\r\n" + canary, "%PDF-" + canary,
		`{"reason":"a","codes":["` + canary + ` "]}`, `{"reason":"a","codes":"` + canary + `"}`, `{"reason":"a","run":"` + canary + `"}`, `{"reason":"a","kind":"` + canary + `","cause":"` + canary + `"}`,
		"file_number,dob,verification_id\n" + canary + "/," + canary + "," + canary + "\n", canary + ",dob\n1,2\n", `"` + canary, `{"file_number":"` + canary + `/","file_numbr":"x"}`,
	}
	types := []string{
		"", jsonType, "application/json; charset=utf-16", "multipart/form-data; boundary=x", "multipart/form-data", "image/png", "image/jpeg", canary + "/x",
		"text/csv", "application/x-ndjson", "application/x-www-form-urlencoded",
	}
	queries := []string{"", "?" + canary + "=1", "?limit=" + canary, "?after=" + canary, "?limit=-1&after=%00", "?reason=" + canary + "%0a", "?open=" + canary, "?batch=" + canary, "?open=true&review=true", "?kind=" + canary, "?lane=" + canary + "&verification_id=" + canary + "%2f", "?kind=passport", "?kind=aadhaar&dry_run=true&allow_rejects=true", "?kind=passport&name=" + canary + "%2f", "?kind=passport&ids_for=%20" + canary, "?%zz", "?open=true&after=Q0FOQVJZQklSRA"}
	n := 0
	check := func(r route, a answer) {
		t.Helper()
		n++
		if a.status >= 500 {
			t.Fatalf("%s %s: %d %s\n%s", r.method, r.path, a.status, a.body, s.log)
		}
		for name, values := range a.header {
			if strings.Contains(fmt.Sprint(values), canary) {
				t.Errorf("%s %s: the header %s repeats the request", r.method, r.path, name)
			}
		}
		if strings.Contains(string(a.body), canary) {
			t.Errorf("%s %s repeats the request: %s", r.method, r.path, a.body)
		}
	}
	hostile := func(r route, a answer) {
		t.Helper()
		if check(r, a); a.status/100 != 4 {
			t.Errorf("%s %s: %d %s", r.method, r.path, a.status, a.body)
		}
	}
	for _, r := range s.routes() {
		r.path = strings.Replace(r.path, "b-00000000", batchID, 1)
		for _, query := range queries {
			check(r, s.send(r.method, r.path+query, nil))
		}
		other := func(name, by string) string { return strings.NewReplacer("P1", by, "A1", by, name, by).Replace(r.path) }
		for _, path := range []string{"/%2e%2e/" + canary, other("/", "/"), other(batchID, canary), other(batchID, "%2f"+canary+"%00"), strings.NewReplacer("passport", canary, "aadhaar", canary).Replace(r.path)} {
			check(r, s.send(r.method, path, nil))
		}
		if r.method != http.MethodPost {
			continue
		}
		path := r.path
		if path == "/v1/batches" {
			path += "?kind=passport&allow_rejects=true"
		}
		for i, body := range bodies {
			for j, kind := range types {
				if slices.Contains([]string{"", jsonType}, kind) || (i+j)%4 == 0 {
					hostile(r, s.send(r.method, path, strings.NewReader(body), "Content-Type", kind))
				}
			}
		}
	}
	for name, image := range hostileImages() {
		for _, kind := range []string{"image/png", "image/jpeg", "multipart/form-data; boundary=x"} {
			body := image
			if strings.HasPrefix(kind, "multipart") {
				body = part("image", image) + "--x--"
			}
			hostile(route{http.MethodPost, "/v1/aadhaar " + name, ""}, s.send(http.MethodPost, "/v1/aadhaar", strings.NewReader(body), "Content-Type", kind))
		}
	}
	good := string(picture(1, 100))
	for name, form := range map[string]string{
		"no end": part("image", good), "field": part("image", good) + part(canary, "1") + "--x--", "image twice": part("image", good) + part("image", good) + "--x--",
		"id": part("verification_id", canary+"/") + part("image", good) + "--x--", "lane": part("image", good) + part("lane", canary) + "--x--",
		"long id": part("verification_id", strings.Repeat(canary, 1000)) + part("image", good) + "--x--", "id is not text": part("verification_id", "\xff\x00"+canary) + part("image", good) + "--x--",
		"encoded": strings.Replace(part("image", base64.StdEncoding.EncodeToString([]byte(good))), "\r\n\r\n", "\r\nContent-Transfer-Encoding: base64\r\n\r\n", 1) + "--x--",
	} {
		hostile(route{http.MethodPost, "/v1/aadhaar form " + name, ""}, s.send(http.MethodPost, "/v1/aadhaar", strings.NewReader(form), "Content-Type", "multipart/form-data; boundary=x"))
	}
	hostile(route{http.MethodPost, "/v1/aadhaar gzip", ""}, s.send(http.MethodPost, "/v1/aadhaar", strings.NewReader("\x1f\x8b"+canary), "Content-Type", "image/png", "Content-Encoding", "gzip"))
	t.Logf("%d requests", n)
	for kind, id := range map[tasks.Kind]string{tasks.Passport: "P1", tasks.Aadhaar: "A1"} {
		if rec := s.record(kind, id); rec.Run != 1 || rec.State == storage.StateValid || kind == tasks.Aadhaar && rec.Review != "visible_qr" {
			t.Errorf("hostile requests made of %s: %s in run %d, review %q", id, rec.State, rec.Run, rec.Review)
		}
	}
}

// part is a part of a form with the boundary x.
func part(name, content string) string {
	return "--x\r\nContent-Disposition: form-data; name=\"" + name + "\"; filename=\"" + canary + "\"\r\n\r\n" + content + "\r\n"
}

// hostileImages are images that no submission may accept.
func hostileImages() map[string]string {
	good := string(picture(1, 100))
	size := make([]byte, 8)
	binary.BigEndian.PutUint32(size, 1<<30)
	binary.BigEndian.PutUint32(size[4:], 1<<30)
	const head = 16 // of a PNG, before its width and height
	return map[string]string{
		"empty": "", "text": canary, "cut off in its head": good[:head+3] + canary, "of 2^60 pixels": good[:head] + string(size) + good[head+8:],
		"gif": "GIF89a" + canary, "pdf": "%PDF-1.7 " + canary, "jpeg without a picture": "\xff\xd8\xff\xe0" + canary, "svg": "<svg>" + canary + "</svg>",
		"webp": "RIFF\x00\x00\x00\x00WEBP" + canary, "too large": good + strings.Repeat(canary, tasks.MaxImageBytes/len(canary)),
	}
}
