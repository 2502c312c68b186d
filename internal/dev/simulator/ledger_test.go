package simulator_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/dev/simulator"
)

// spy looks at the ledger's file at the moment at which the answer begins to leave.
type spy struct {
	*httptest.ResponseRecorder
	path string
	then string
}

func (s *spy) WriteHeader(status int) {
	content, err := os.ReadFile(s.path)
	if err != nil {
		panic(err)
	}
	s.then = string(content)
	s.ResponseRecorder.WriteHeader(status)
}

func TestRequestsAreInTheLedgerBeforeTheirAnswer(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	sim := newSim(t, simulator.Config{LedgerPath: path})
	addFault(t, sim, simulator.Fault{Fault: "html", VerificationID: "paid-page"})
	addFault(t, sim, simulator.Fault{Fault: "truncate", VerificationID: "cut"})
	addFault(t, sim, simulator.Fault{Fault: "500", VerificationID: "failed"})
	for id, want := range map[string]string{
		"fine":      `"status":200,"code":"","result":"VALID","charged":true`,
		"paid-page": `"status":200,"code":"","result":"VALID","charged":true`,
		"cut":       `"status":200,"code":"","result":"VALID","charged":true`,
		"failed":    `"status":500,"code":"verification_failed","charged":false`,
	} {
		w := &spy{ResponseRecorder: httptest.NewRecorder(), path: path}
		sim.ServeHTTP(w, passportRequest("", passportBody(id)))
		if !strings.Contains(w.then, `"verification_id":"`+id+`",`+want) {
			t.Errorf("%s: the ledger was %q", id, w.then)
		}
	}
}

// The recorder's connection cannot be taken over; the reset then is a panic of http.ErrAbortHandler.
func TestChargesAreInTheLedgerBeforeAReset(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	sim := newSim(t, simulator.Config{LedgerPath: path})
	addFault(t, sim, simulator.Fault{Fault: "reset_after"})
	func() {
		defer func() {
			if cut, ok := recover().(error); !ok || !errors.Is(cut, http.ErrAbortHandler) {
				t.Error("the connection was not cut")
			}
			if content, _ := os.ReadFile(path); !strings.Contains(string(content), `"charged":true`) {
				t.Errorf("the ledger was %q", content)
			}
		}()
		sim.ServeHTTP(httptest.NewRecorder(), passportRequest("", passportBody("a")))
	}()
}

func TestAnExistingLedgerIsRead(t *testing.T) {
	t.Parallel()
	cfg := simulator.Config{LedgerPath: filepath.Join(t.TempDir(), "ledger.jsonl"), TakeIDs: simulator.TakeOnArrival}
	before := newSim(t, cfg)
	addFault(t, before, simulator.Fault{Fault: "500", VerificationID: "failed"})
	reference := call(before, passportRequest("", passportBody("paid"))).ReferenceID
	call(before, passportRequest("", passportBody("failed")))
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	after := newSim(t, cfg)
	wantError(t, call(after, passportRequest("", passportBody("paid"))), 409, "verification_id_already_exists")
	wantError(t, call(after, passportRequest("", passportBody("failed"))), 409, "verification_id_already_exists")
	got := call(after, passportRequest("", passportBody("new")))
	if got.Status != 200 || got.ReferenceID <= reference {
		t.Errorf("got %d, reference %d after %d", got.Status, got.ReferenceID, reference)
	}
	entries := ledger(t, after)
	if len(entries) != 5 || entries[4].Seq != 5 || after.State().Charged != 2 {
		t.Errorf("%d charges in %+v", after.State().Charged, entries)
	}
}

func TestAnIncompleteLastLineIsDropped(t *testing.T) {
	t.Parallel()
	cfg := simulator.Config{LedgerPath: filepath.Join(t.TempDir(), "ledger.jsonl")}
	before := newSim(t, cfg)
	call(before, passportRequest("", passportBody("whole")))
	call(before, passportRequest("", passportBody("cut")))
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(cfg.LedgerPath)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(cfg.LedgerPath, info.Size()-20); err != nil {
		t.Fatal(err)
	}
	after := newSim(t, cfg)
	if got := call(after, passportRequest("", passportBody("cut"))); got.Status != 200 {
		t.Errorf("the charge that never reached the file: %d", got.Status)
	}
	if entries := ledger(t, after); len(entries) != 2 || entries[1].Seq != 2 {
		t.Errorf("ledger: %+v", entries)
	}
}

func TestAFileThatIsNotALedgerIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	if err := os.WriteFile(path, []byte("not\na ledger\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := simulator.New(simulator.Config{LedgerPath: path}); err == nil {
		t.Error("it was opened")
	}
	if content, _ := os.ReadFile(path); string(content) != "not\na ledger\n" {
		t.Errorf("it was changed to %q", content)
	}
}

func TestALedgerMustBeARegularFile(t *testing.T) {
	t.Parallel()
	for _, path := range []string{os.DevNull, t.TempDir(), filepath.Join(t.TempDir(), "missing", "ledger.jsonl")} {
		if _, err := simulator.New(simulator.Config{LedgerPath: path}); err == nil {
			t.Errorf("%s was opened", path)
		}
	}
}

func TestTheLedgerHoldsNoPersonalData(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	sim := newSim(t, simulator.Config{LedgerPath: path, Masker: blank})
	call(sim, passportRequest("", passportBody("a")))
	call(sim, maskRequest("", "a", picture(t)))
	call(sim, passportRequest("", fmt.Sprintf(`{"verification_id":%q}`, strings.Repeat("x", 4000))))
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"PA1079341954215", "2007-03-01", "Specimen Person", "cfsk_ma", "_images", strings.Repeat("x", 65)} {
		if strings.Contains(string(content), word) {
			t.Errorf("ledger holds %q: %s", word, content)
		}
	}
}
