package simulator_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/dev/simulator"
	"github.com/kycq/kycq/internal/dev/simulator/simtest"
)

// Everything is wrong with the account and the request; they are fixed one after the other. Each step must show the
// next error of the order of precedence, for both endpoints.
func TestErrorsFollowTheOrderOfPrecedence(t *testing.T) {
	t.Parallel()
	key := testKey(t)
	for _, endpoint := range []simulator.Endpoint{simulator.Passport, simulator.AadhaarMasking} {
		t.Run(string(endpoint), func(t *testing.T) {
			t.Parallel()
			cfg := account
			cfg.PrivateKey, cfg.AllowedIPs = key, []string{"203.0.113.9"}
			cfg.Limit, cfg.Per = 1, time.Hour
			cfg.TakeIDs, cfg.Masker = simulator.TakeOnArrival, blank
			srv := simtest.Start(t, cfg)
			control := func(path, body string) { t.Helper(); postControl(t, srv, path, body) }
			send := func(id string, big, fields bool, edits ...edit) reply {
				t.Helper()
				return do(t, ladderRequest(srv.URL, endpoint, id, big, fields, picture(t), edits))
			}
			// A call that is fine uses up the id "taken" and the only slot of the hour.
			control("/ips", `{"allowed":[]}`)
			if got := send("taken", false, true, header("x-cf-signature", sign(t, key, "client", time.Now()))); got.Status != 200 {
				t.Fatalf("first call: %d %s", got.Status, got.Raw)
			}
			control("/ips", `{"allowed":["203.0.113.9"]}`)
			control("/balance", `{"calls":0}`)
			control("/faults", `{"fault":"500"}`)
			control("/faults", `{"fault":"429","count":1,"code":"too_many_requests_per_ip"}`)

			id, secret, signature := header("x-client-id", ""), header("x-client-secret", ""), header("x-cf-signature", "")
			wantError(t, send("taken", true, false, id, secret, signature), 400, "x-client-id_missing")
			id = header("x-client-id", "someone")
			wantError(t, send("taken", true, false, id, secret, signature), 400, "x-client-secret_missing")
			secret = header("x-client-secret", "cfsk_ma_test_other")
			wantError(t, send("taken", true, false, id, secret, signature), 400, "x-client-secret_value_invalid")
			secret = header("x-client-secret", "cfsk_ma_prod_secret")
			wantError(t, send("taken", true, false, id, secret, signature), 401, "authentication_failed")
			id = header("x-client-id", "client")
			wantError(t, send("taken", true, false, id, secret, signature), 403, "authentication_failed")
			signature = header("x-cf-signature", sign(t, key, "client", time.Now()))
			wantError(t, send("taken", true, false, id, secret, signature), 403, "ip_validation_failed")
			control("/ips", `{"allowed":["127.0.0.0/8"]}`)
			wantError(t, send("taken", true, false, id, secret, signature), 429, "too_many_requests_per_operation")
			control("/limit", `{"calls":0}`)
			wantError(t, send("taken", true, false, id, secret, signature), 413, "file_size_exceeded")
			wantError(t, send("taken", false, false, id, secret, signature), 400, missingField(endpoint))
			wantError(t, send("taken", false, true, id, secret, signature), 429, "too_many_requests_per_ip")
			wantError(t, send("taken", false, true, id, secret, signature), 409, "verification_id_already_exists")
			wantError(t, send("fresh", false, true, id, secret, signature), 422, "insufficient_balance")
			control("/balance", `{"add":10}`)
			wantError(t, send("fresh2", false, true, id, secret, signature), 500, "verification_failed")
			deleteFaults(t, srv)
			if got := send("fresh3", false, true, id, secret, signature); got.Result != "VALID" {
				t.Errorf("fixed call: %d %s", got.Status, got.Raw)
			}
			if n := srv.Sim.State().Charged; n != 2 {
				t.Errorf("%d charges, want 2: errors are free", n)
			}
		})
	}
}

func missingField(e simulator.Endpoint) string {
	if e == simulator.Passport {
		return "file_number_missing"
	}
	return "image_missing"
}

func ladderRequest(base string, e simulator.Endpoint, id string, big, fields bool, img []byte, edits []edit) *http.Request {
	if e == simulator.Passport {
		body := passportBody(id)
		if !fields {
			body = `{"verification_id":"` + id + `"}`
		}
		if big {
			body += strings.Repeat(" ", 65<<10)
		}
		return passportRequest(base, body, edits...)
	}
	if !fields {
		img = nil
	}
	if big {
		img = make([]byte, 10<<20+1)
	}
	return maskRequest(base, id, img, edits...)
}

func TestPassportValidatesEachFieldInTheOrderOfTheVendorsTable(t *testing.T) {
	t.Parallel()
	srv := simtest.Start(t, account)
	long := strings.Repeat("a", 51)
	for _, tt := range []struct{ name, body, code string }{
		{"no json", `verification_id=a`, "request_body_invalid"},
		{"array", `[]`, "request_body_invalid"},
		{"number for text", `{"verification_id":7}`, "request_body_invalid"},
		{"empty object", `{}`, "verification_id_missing"},
		{"empty id", `{"verification_id":""}`, "verification_id_missing"},
		{"characters before length", `{"verification_id":"` + long + `!"}`, "verification_id_value_invalid"},
		{"space", `{"verification_id":"a b"}`, "verification_id_value_invalid"},
		{"letters outside ASCII", `{"verification_id":"é"}`, "verification_id_value_invalid"},
		{"51 characters", `{"verification_id":"` + long + `"}`, "verification_id_length_exceeded"},
		{"no file number", `{"verification_id":"a"}`, "file_number_missing"},
		{"no dob", `{"verification_id":"a","file_number":"B1"}`, "dob_missing"},
		{"dob form", `{"verification_id":"a","file_number":"B1","dob":"01-03-2007"}`, "dob_value_invalid"},
		{"dob that never was", `{"verification_id":"a","file_number":"B1","dob":"2007-02-30"}`, "dob_value_invalid"},
	} {
		got := do(t, passportRequest(srv.URL, tt.body))
		if got.Status != 400 || got.Type != "validation_error" && tt.code != "" || got.Code != tt.code {
			t.Errorf("%s: got %d %s", tt.name, got.Status, got.Raw)
		}
	}
	if got := do(t, passportRequest(srv.URL, passportBody(strings.Repeat("a", 50)))); got.Result != "VALID" {
		t.Errorf("50 characters: got %d %s", got.Status, got.Raw)
	}
}

func TestMaskingValidatesEachField(t *testing.T) {
	t.Parallel()
	cfg := account
	cfg.Masker = blank
	srv := simtest.Start(t, cfg)
	card := picture(t)
	for _, tt := range []struct {
		name string
		id   string
		img  []byte
		code string
	}{
		{"no id", "", card, "verification_id_missing"},
		{"characters", "a/b", card, "verification_id_value_invalid"},
		{"length", strings.Repeat("a", 51), card, "verification_id_length_exceeded"},
		{"no image", "a", nil, "image_missing"},
		{"no bytes", "a", []byte{}, "image_missing"},
		{"pdf", "a", []byte("%PDF-1.7 specimen"), "image_value_invalid"},
		{"gif", "a", []byte("GIF89a"), "image_value_invalid"},
	} {
		wantError(t, do(t, maskRequest(srv.URL, tt.id, tt.img)), 400, tt.code)
		if t.Failed() {
			t.Fatal(tt.name)
		}
	}
	for name, edits := range map[string][]edit{
		"no multipart": {header("Content-Type", "application/json")},
		"no boundary":  {header("Content-Type", "multipart/form-data")},
	} {
		got := do(t, maskRequest(srv.URL, "a", card, edits...))
		if got.Code != "verification_id_missing" {
			t.Errorf("%s: got %d %s", name, got.Status, got.Raw)
		}
	}
	if n := srv.Sim.State().Charged; n != 0 {
		t.Errorf("%d charges for refused calls", n)
	}
}

func TestAnErrorHasTheVendorsForm(t *testing.T) {
	t.Parallel()
	cfg := account
	cfg.AllowedIPs = []string{"203.0.113.0/24"}
	srv := simtest.Start(t, cfg)
	got := do(t, passportRequest(srv.URL, passportBody("a")))
	if got.Type != "authentication_error" || !strings.Contains(got.Message, "your current ip is 127.0.0.1") {
		t.Errorf("403 must echo the caller's address as the vendor does: %s", got.Raw)
	}
	if ct := got.Header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("content type %q", ct)
	}
}

func TestOtherPathsAndMethodsAreRefused(t *testing.T) {
	t.Parallel()
	srv := simtest.Start(t, account)
	r := passportRequest(srv.URL, passportBody("a"))
	r.Method = http.MethodPut
	wantError(t, do(t, r), 405, "method_not_allowed")
	wantError(t, do(t, passportRequest(srv.URL+"/pan", passportBody("a"))), 404, "path_not_found")
	if n := len(srv.Entries(t)); n != 0 {
		t.Errorf("%d ledger entries", n)
	}
	bare := strings.TrimSuffix(srv.URL, "/verification")
	if got := do(t, passportRequest(bare, passportBody("a"))); got.Result != "VALID" {
		t.Errorf("path without /verification: %d %s", got.Status, got.Raw)
	}
}

func TestAnUploadOverTheLimitIsRefusedBeforeItIsRead(t *testing.T) {
	t.Parallel()
	sim := newSim(t, account)
	body := &countingReader{from: bytes.NewReader(make([]byte, 20<<20))}
	r, _ := http.NewRequest(http.MethodPost, "/aadhaar-masking", body)
	r.ContentLength = 20 << 20
	signed(r, nil)
	wantError(t, call(sim, r), 413, "file_size_exceeded")
	if body.n != 0 {
		t.Errorf("%d bytes were read", body.n)
	}
}

func TestAnUploadOfUnknownLengthIsReadUpToTheLimit(t *testing.T) {
	t.Parallel()
	sim := newSim(t, account)
	id := "a"
	whole, contentType := form(&id, make([]byte, 40<<20))
	body := &countingReader{from: bytes.NewReader(whole)}
	r, _ := http.NewRequest(http.MethodPost, "/aadhaar-masking", body)
	r.ContentLength = -1
	signed(r, []edit{header("Content-Type", contentType)})
	wantError(t, call(sim, r), 413, "file_size_exceeded")
	if body.n > 11<<20 {
		t.Errorf("%d bytes were read", body.n)
	}
}

func TestAnImageOfExactlyTenMegabytesIsAccepted(t *testing.T) {
	t.Parallel()
	cfg := account
	cfg.Masker = blank
	srv := simtest.Start(t, cfg)
	img := append(picture(t), make([]byte, 10<<20)...)
	if got := do(t, maskRequest(srv.URL, "exact", img[:10<<20])); got.Result != "VALID" {
		t.Errorf("10 MB: %d %s", got.Status, got.Raw)
	}
	wantError(t, do(t, maskRequest(srv.URL, "more", img[:10<<20+1])), 413, "file_size_exceeded")
}

type countingReader struct {
	from *bytes.Reader
	n    int
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.n += n
	return n, err
}
