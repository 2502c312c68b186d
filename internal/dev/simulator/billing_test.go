package simulator

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestWithoutALedgerThereIsNoCharge(t *testing.T) {
	t.Parallel()
	sim, err := New(Config{Balance: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sim.Close() }()
	if err := sim.billing.ledger.file.Close(); err != nil { // every write fails from now on
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/passport",
		strings.NewReader(`{"verification_id":"a","file_number":"PA1079341954215","dob":"1998-12-31"}`))
	r.Header.Set("x-client-id", "client")
	r.Header.Set("x-client-secret", "secret")
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, r)
	if w.Code != http.StatusInternalServerError {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
	if s := sim.State(); s.Balance != 5 || s.Charged != 0 || len(sim.billing.taken) != 0 {
		t.Errorf("balance %d, %d charges, %d ids taken", s.Balance, s.Charged, len(sim.billing.taken))
	}
}
