package simulator_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/dev/simulator"
	"github.com/kycq/kycq/internal/dev/simulator/simtest"
)

// raw sends a whole request over a connection of its own and reads until it ends, as TCP shows it.
func raw(t *testing.T, srv *simtest.Server, r *http.Request) ([]byte, error) {
	t.Helper()
	conn, err := net.Dial("tcp", srv.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	r.Header.Set("Connection", "close")
	if err := r.Write(conn); err != nil {
		t.Fatal(err)
	}
	return io.ReadAll(conn)
}

func TestEachFaultIsVisibleToTheClientAndInTheLedger(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fault   simulator.Fault
		wire    func(t *testing.T, got []byte, err error)
		status  int // in the ledger
		charged bool
	}{
		{simulator.Fault{Fault: "500"}, answers(500, `"code":"verification_failed","message":"something went wrong"`), 500, false},
		{simulator.Fault{Fault: "502"}, answers(502, `"message":"verification attempt failed"`), 502, false},
		{simulator.Fault{Fault: "503"}, answers(503, `"code":"http_503"`), 503, false},
		{simulator.Fault{Fault: "504"}, answers(504, `"code":"http_504"`), 504, false},
		{simulator.Fault{Fault: "401"}, answers(401, `"code":"authentication_failed"`), 401, false},
		{simulator.Fault{Fault: "403"}, answers(403, `your current ip is 127.0.0.1`), 403, false},
		{simulator.Fault{Fault: "403", Code: "authentication_failed"}, answers(403, `x-cf-signature missing`), 403, false},
		{simulator.Fault{Fault: "422"}, answers(422, `"code":"insufficient_balance"`), 422, false},
		{simulator.Fault{Fault: "422", Code: "other_reason"}, answers(422, `"code":"other_reason"`), 422, false},
		{simulator.Fault{Fault: "429"}, answers(429, "Retry-After: 1\r\n"), 429, false},
		{simulator.Fault{Fault: "429", RetryAfter: "Wed, 21 Oct 2026 07:28:00 GMT"}, answers(429, "Retry-After: Wed, 21 Oct"), 429, false},
		{simulator.Fault{Fault: "404"}, answers(404, `"code":"http_404"`), 404, false},
		{simulator.Fault{Fault: "301"}, answers(301, ""), 301, false},
		{simulator.Fault{Fault: "redirect"}, answers(307, "Location: /verification/passport\r\n"), 307, false},
		{simulator.Fault{Fault: "reset_before"}, isReset, 0, false},
		{simulator.Fault{Fault: "reset_after"}, isReset, 0, true},
		{simulator.Fault{Fault: "truncate"}, isTruncated, 200, true},
		{simulator.Fault{Fault: "html"}, answers(200, "<!doctype html>"), 200, true},
		{simulator.Fault{Fault: "html", Status: 502}, answers(502, "<!doctype html>"), 502, false},
		{simulator.Fault{Fault: "empty"}, answers(200, "Content-Length: 0\r\n"), 200, true},
		{simulator.Fault{Fault: "empty", Status: 500}, answers(500, "Content-Length: 0\r\n"), 500, false},
		{simulator.Fault{Fault: "wrong_id"}, answers(200, `"verification_id":"another-a"`), 200, true},
	} {
		name := tt.fault.Fault + tt.fault.Code + tt.fault.RetryAfter
		if tt.fault.Status != 0 {
			name += fmt.Sprint(tt.fault.Status)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := simtest.Start(t, account)
			addFault(t, srv.Sim, tt.fault)
			got, err := raw(t, srv, passportRequest(srv.URL, passportBody("a")))
			tt.wire(t, got, err)
			entries := srv.Entries(t)
			if len(entries) != 1 {
				t.Fatalf("%d ledger entries", len(entries))
			}
			if e := entries[0]; e.Status != tt.status || e.Charged != tt.charged || e.Fault != tt.fault.Fault || e.VerificationID != "a" {
				t.Errorf("ledger: %+v", e)
			}
		})
	}
}

// answers wants a whole HTTP response that contains text.
func answers(status int, text string) func(*testing.T, []byte, error) {
	return func(t *testing.T, got []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("connection: %v", err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(got)), nil)
		if err != nil {
			t.Fatalf("response: %v", err)
		}
		defer resp.Body.Close()
		if _, err := io.ReadAll(resp.Body); err != nil {
			t.Errorf("body: %v", err)
		}
		if resp.StatusCode != status || !strings.Contains(string(got), text) {
			t.Errorf("got %s, want %d with %q", got, status, text)
		}
	}
}

func isReset(t *testing.T, got []byte, err error) {
	t.Helper()
	if len(got) != 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %q, %v; want nothing and a TCP reset", got, err)
	}
}

func isTruncated(t *testing.T, got []byte, _ error) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(got)), nil)
	if err != nil {
		t.Fatalf("response: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if !errors.Is(err, io.ErrUnexpectedEOF) || len(body) == 0 || resp.StatusCode != 200 {
		t.Errorf("got %d %q, %v; want part of a body", resp.StatusCode, body, err)
	}
}

func TestAHangingCallEndsWithItsClient(t *testing.T) {
	t.Parallel()
	for fault, charged := range map[string]bool{"hang": false, "hang_after": true} {
		for _, endpoint := range []simulator.Endpoint{simulator.Passport, simulator.AadhaarMasking} {
			t.Run(fault+" "+string(endpoint), func(t *testing.T) {
				t.Parallel()
				cfg := account
				cfg.Masker = blank
				srv := simtest.Start(t, cfg)
				addFault(t, srv.Sim, simulator.Fault{Fault: fault})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				failed := make(chan error, 1)
				r := ladderRequest(srv.URL, endpoint, "a", false, true, picture(t), nil).WithContext(ctx)
				// What follows a form is no part of it, and must be read all the same to notice the client's end.
				r.Body = io.NopCloser(io.MultiReader(r.Body, strings.NewReader(strings.Repeat(" ", 32<<10))))
				r.ContentLength = -1
				c := client(t)
				go func() {
					resp, err := c.Do(r)
					if err == nil {
						err = fmt.Errorf("answered with %d", resp.StatusCode)
					}
					failed <- err
				}()
				await(t, srv, func(s simulator.State) bool { return s.Endpoints[endpoint].ByFault[fault] == 1 })
				cancel()
				if err := <-failed; !errors.Is(err, context.Canceled) {
					t.Errorf("client: %v", err)
				}
				if e := srv.Entries(t)[0]; e.Charged != charged || e.Status != 0 {
					t.Errorf("ledger: %+v", e)
				}
				// The simulator lets go by itself: closing would wait for its context otherwise.
				settled(t, srv)
			})
		}
	}
}

func TestCloseEndsHangingCalls(t *testing.T) {
	t.Parallel()
	srv := simtest.Start(t, account)
	addFault(t, srv.Sim, simulator.Fault{Fault: "hang"})
	failed := make(chan error, 1)
	r, c := passportRequest(srv.URL, passportBody("a")), client(t)
	go func() {
		_, err := c.Do(r)
		failed <- err
	}()
	await(t, srv, func(s simulator.State) bool { return s.Endpoints[simulator.Passport].ByFault["hang"] == 1 })
	if err := srv.Sim.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; err == nil {
		t.Error("the call was answered")
	}
	if _, err := raw(t, srv, passportRequest(srv.URL, passportBody("b"))); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a call after Close: %v", err)
	}
}

// await polls the state of a real server; there is no other sign that a request has arrived.
func await(t *testing.T, srv *simtest.Server, arrived func(simulator.State) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !arrived(srv.Sim.State()) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("still waiting: %+v", srv.Sim.State())
		}
	}
}

func settled(t *testing.T, srv *simtest.Server) {
	t.Helper()
	await(t, srv, func(s simulator.State) bool { return s.InFlight == 0 })
}

func TestRulesFireByCountAfterEndpointAndID(t *testing.T) {
	t.Parallel()
	statuses := func(t *testing.T, f simulator.Fault, ids ...string) string {
		t.Helper()
		sim := newSim(t, simulator.Config{Masker: blank})
		addFault(t, sim, f)
		var got []string
		for n, id := range ids {
			if id == "" {
				id = fmt.Sprint("id", n)
			}
			got = append(got, fmt.Sprint(call(sim, passportRequest("", passportBody(id))).Status))
		}
		return strings.Join(got, " ")
	}
	for _, tt := range []struct {
		name  string
		fault simulator.Fault
		ids   []string
		want  string
	}{
		{"count", simulator.Fault{Fault: "503", Count: 2}, make([]string, 4), "503 503 200 200"},
		{"unlimited", simulator.Fault{Fault: "503"}, make([]string, 4), "503 503 503 503"},
		{"after", simulator.Fault{Fault: "503", After: 2, Count: 1}, make([]string, 4), "200 200 503 200"},
		{"id", simulator.Fault{Fault: "503", VerificationID: "x", Count: 2}, []string{"", "x", "", "x", "x"}, "200 503 200 503 200"},
		{"other endpoint", simulator.Fault{Fault: "503", Endpoint: simulator.AadhaarMasking}, make([]string, 2), "200 200"},
		{"links are not for passports", simulator.Fault{Fault: "expired_link"}, make([]string, 2), "200 200"},
	} {
		if got := statuses(t, tt.fault, tt.ids...); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestTheFirstRuleThatFiresWins(t *testing.T) {
	t.Parallel()
	sim := newSim(t, simulator.Config{})
	addFault(t, sim, simulator.Fault{Fault: "500", Count: 1})
	addFault(t, sim, simulator.Fault{Fault: "502", Count: 1})
	for _, want := range []int{500, 502, 200} {
		if got := call(sim, passportRequest("", passportBody("a"))); got.Status != want {
			t.Errorf("got %d, want %d", got.Status, want)
		}
	}
	addFault(t, sim, simulator.Fault{Fault: "500"})
	sim.ClearFaults()
	if got := call(sim, passportRequest("", passportBody("b"))); got.Status != 200 {
		t.Errorf("after clearing: %d", got.Status)
	}
}

func TestASeedRepeatsRandomFaults(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) string {
		sim := newSim(t, simulator.Config{Seed: seed})
		addFault(t, sim, simulator.Fault{Fault: "502", Probability: 0.3})
		var b strings.Builder
		for n := range 200 {
			fmt.Fprint(&b, call(sim, passportRequest("", passportBody(fmt.Sprint(n)))).Status, " ")
		}
		return b.String()
	}
	first := run(7)
	if first != run(7) {
		t.Error("one seed gave two runs")
	}
	if first == run(8) {
		t.Error("two seeds gave one run")
	}
	if n := strings.Count(first, "502"); n < 35 || n > 85 {
		t.Errorf("%d of 200 calls failed, want about 60", n)
	}
}

func TestAClientThatDisconnectsDuringTheLatencyIsCharged(t *testing.T) {
	t.Parallel()
	cfg := account
	cfg.Latency = 30 * time.Millisecond
	srv := simtest.Start(t, cfg)
	conn, err := net.Dial("tcp", srv.Host)
	if err != nil {
		t.Fatal(err)
	}
	if err := passportRequest(srv.URL, passportBody("a")).Write(conn); err != nil {
		t.Fatal(err)
	}
	await(t, srv, func(s simulator.State) bool { return s.InFlight == 1 })
	_ = conn.Close()
	await(t, srv, func(s simulator.State) bool { return s.Charged == 1 })
	if n := srv.Charges(t, "a"); n != 1 {
		t.Errorf("%d charges", n)
	}
}

func TestAnInterruptedUploadIsInTheLedgerAndNotCharged(t *testing.T) {
	t.Parallel()
	cfg := account
	cfg.TakeIDs, cfg.Masker = simulator.TakeOnArrival, blank
	srv := simtest.Start(t, cfg)
	conn, err := net.Dial("tcp", srv.Host)
	if err != nil {
		t.Fatal(err)
	}
	var request bytes.Buffer
	if err := maskRequest(srv.URL, "a", make([]byte, 1<<20)).Write(&request); err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Write(request.Bytes()[:request.Len()-1000])
	_ = conn.Close()
	await(t, srv, func(s simulator.State) bool {
		return s.Endpoints[simulator.AadhaarMasking].ByCode["request_broken_off"] == 1
	})
	if got := do(t, maskRequest(srv.URL, "a", picture(t))); got.Result != "VALID" {
		t.Errorf("the id was taken: %d %s", got.Status, got.Raw)
	}
}
