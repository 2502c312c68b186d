package simulator_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/dev/simulator"
	"github.com/kycq/kycq/internal/dev/simulator/simtest"
)

func control(t *testing.T, method, url, body string) (int, []byte) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

func postControl(t *testing.T, srv *simtest.Server, path, body string) {
	t.Helper()
	if status, answer := control(t, http.MethodPost, srv.ControlURL+path, body); status != 200 {
		t.Fatalf("POST %s %s: %d %s", path, body, status, answer)
	}
}

func deleteFaults(t *testing.T, srv *simtest.Server) {
	t.Helper()
	if status, answer := control(t, http.MethodDelete, srv.ControlURL+"/faults", ""); status != 200 {
		t.Fatalf("DELETE faults: %d %s", status, answer)
	}
}

func TestSettingsCanBeChangedAtRuntime(t *testing.T) {
	t.Parallel()
	srv := simtest.Start(t, account)
	for path, body := range map[string]string{
		"/balance":     `{"calls":7}`,
		"/credentials": `{"client_id":"new","client_secret":"secret"}`,
		"/ips":         `{"allowed":["127.0.0.1","10.0.0.0/8"]}`,
		"/limit":       `{"endpoint":"passport","calls":5,"per":"10s","window":"bucket","burst":2}`,
		"/latency":     `{"latency":"5ms"}`,
		"/ids":         `{"take":"arrival"}`,
		"/links":       `{"ttl":"3s"}`,
		"/faults":      `{"endpoint":"passport","verification_id":"x","fault":"hang","count":2,"after":1}`,
	} {
		postControl(t, srv, path, body)
	}
	_, raw := control(t, http.MethodGet, srv.ControlURL+"/state", "")
	var state simulator.State
	if err := json.Unmarshal(raw, &state); err != nil {
		t.Fatal(err)
	}
	limit := simulator.LimitState{Calls: 5, Per: "10s", Window: "bucket", Burst: 2}
	switch {
	case state.Balance != 7, state.TakeIDs != "arrival", state.Latency != "5ms", state.LinkTTL != "3s",
		len(state.Allowed) != 2, state.FaultsPending != 1,
		state.Endpoints[simulator.Passport].Limit != limit,
		state.Endpoints[simulator.AadhaarMasking].Limit.Window != "none":
		t.Errorf("state is %s", raw)
	}
	wantError(t, do(t, passportRequest(srv.URL, passportBody("a"))), 401, "authentication_failed")
	got := do(t, passportRequest(srv.URL, passportBody("a"), header("x-client-id", "new"), header("x-client-secret", "secret")))
	if got.Status != 200 || got.Header.Get("X-RateLimit-Limit") != "5" {
		t.Errorf("got %d %v", got.Status, got.Header)
	}
}

func TestInvalidSettingsAreRefused(t *testing.T) {
	t.Parallel()
	srv := simtest.Start(t, account)
	_, before := control(t, http.MethodGet, srv.ControlURL+"/state", "")
	for _, tt := range [][2]string{
		{"/balance", `{}`},
		{"/balance", `{"calls":1,"add":1}`},
		{"/credentials", `{"client_id":"a"}`},
		{"/ips", `{"allowed":["nowhere"]}`},
		{"/limit", `{"calls":5,"window":"round"}`},
		{"/limit", `{"endpoint":"pan","calls":5}`},
		{"/limit", `{"calls":-5}`},
		{"/limit", `{"calls":2,"per":"1ns","window":"bucket"}`},
		{"/latency", `{"latency":"-1s"}`},
		{"/latency", `{"latency":"soon"}`},
		{"/ids", `{"take":"never"}`},
		{"/links", `{"ttl":"0s"}`},
		{"/faults", `{"fault":"teapot"}`},
		{"/faults", `{"fault":"200"}`},
		{"/faults", `{"fault":"500","probability":2}`},
		{"/faults", `{"fault":"500","count":-1}`},
		{"/faults", `{"fault":"500","endpoint":"pan"}`},
		{"/faults", `{"fault":"unmasked","endpoint":"passport"}`},
		{"/faults", `{"fault":"500","typo":1}`},
		{"/faults", `{`},
	} {
		if status, answer := control(t, http.MethodPost, srv.ControlURL+tt[0], tt[1]); status != 400 {
			t.Errorf("POST %s %s: %d %s", tt[0], tt[1], status, answer)
		}
	}
	if _, after := control(t, http.MethodGet, srv.ControlURL+"/state", ""); string(before) != string(after) {
		t.Errorf("state changed from %s to %s", before, after)
	}
}

func TestTheLedgerCanBeFiltered(t *testing.T) {
	t.Parallel()
	cfg := account
	cfg.Masker = blank
	srv := simtest.Start(t, cfg)
	if _, raw := control(t, http.MethodGet, srv.ControlURL+"/ledger", ""); strings.TrimSpace(string(raw)) != "[]" {
		t.Errorf("empty ledger: %s", raw)
	}
	do(t, passportRequest(srv.URL, passportBody("a")))
	do(t, passportRequest(srv.URL, passportBody("a")))
	do(t, passportRequest(srv.URL, passportBody("b")))
	do(t, maskRequest(srv.URL, "a", picture(t)))
	for query, want := range map[string]string{
		"":                           "1 2 3 4",
		"?charged=true":              "1 3 4",
		"?verification_id=a":         "1 2 4",
		"?endpoint=passport":         "1 2 3",
		"?endpoint=passport&after=2": "3",
		"?after=9":                   "",
	} {
		_, raw := control(t, http.MethodGet, srv.ControlURL+"/ledger"+query, "")
		var entries []struct {
			Seq json.Number `json:"seq"`
		}
		if err := json.Unmarshal(raw, &entries); err != nil {
			t.Fatalf("%s: %v: %s", query, err, raw)
		}
		var seqs []string
		for _, e := range entries {
			seqs = append(seqs, e.Seq.String())
		}
		if got := strings.Join(seqs, " "); got != want {
			t.Errorf("ledger%s: entries %s, want %s", query, got, want)
		}
	}
}

func TestTheStateCountsCalls(t *testing.T) {
	t.Parallel()
	cfg := account
	cfg.Balance = 3
	srv := simtest.Start(t, cfg)
	postControl(t, srv, "/faults", `{"fault":"502","count":1,"verification_id":"b"}`)
	for _, id := range []string{"a", "a", "b", "b", "?"} {
		do(t, passportRequest(srv.URL, passportBody(id)))
	}
	s := srv.Sim.State()
	p := s.Endpoints[simulator.Passport]
	if s.Charged != 2 || s.Balance != 1 || s.FaultsPending != 0 || s.Faults[0].Fired != 1 || p.Requests != 5 ||
		p.ByStatus[200] != 2 || p.ByStatus[409] != 1 || p.ByStatus[502] != 1 || p.ByStatus[400] != 1 ||
		p.ByCode["verification_id_already_exists"] != 1 || p.ByFault["502"] != 1 || p.IDsTaken != 2 || p.PeakInWindow != 5 {
		t.Errorf("state: %+v", s)
	}
}
