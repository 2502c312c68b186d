// Package simtest starts a simulator of Cashfree for a test on its own loopback port. It is a test kit.
package simtest

import (
	"net/http/httptest"
	"testing"

	"github.com/kycq/kycq/internal/dev/simulator"
)

// Server is a running simulator.
type Server struct {
	// URL is the value of KYCQ_CASHFREE_URL; the calls are at URL + "/passport" and URL + "/aadhaar-masking".
	URL string
	// ControlURL is the base of ledger, state, faults, balance and so on.
	ControlURL string
	// Host is host:port for KYCQ_IMAGE_HOSTS: image links are plain http to a loopback address.
	Host string
	Sim  *simulator.Simulator
}

// Start serves cfg until the test ends. Calls that still hang are then reset.
func Start(t testing.TB, cfg simulator.Config) *Server {
	t.Helper()
	sim, err := simulator.New(cfg)
	if err != nil {
		t.Fatalf("start simulator: %v", err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(func() {
		// Close the simulator first: the server waits for calls that hang.
		if err := sim.Close(); err != nil {
			t.Errorf("close simulator: %v", err)
		}
		server.Close()
	})
	return &Server{
		URL: server.URL + "/verification", ControlURL: server.URL + "/_sim",
		Host: server.Listener.Addr().String(), Sim: sim,
	}
}

// Entries reads the ledger.
func (s *Server) Entries(t testing.TB) []simulator.LedgerEntry {
	t.Helper()
	var entries []simulator.LedgerEntry
	for e, err := range s.Sim.Ledger() {
		if err != nil {
			t.Fatalf("read ledger: %v", err)
		}
		entries = append(entries, e)
	}
	return entries
}

// Charges counts the charges of a verification_id, over both endpoints.
func (s *Server) Charges(t testing.TB, id string) int {
	t.Helper()
	n := 0
	for _, e := range s.Entries(t) {
		if e.Charged && e.VerificationID == id {
			n++
		}
	}
	return n
}
