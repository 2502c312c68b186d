package simulator

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// Simulator simulates the vendor. It is safe for concurrent use. Serve it over HTTP/1.1: some faults close the connection.
type Simulator struct {
	account    *account
	addresses  *addresses
	operations map[Endpoint]*operation
	faults     *faults
	billing    *billing
	cards      *cards
	images     *images
	publicURL  string
	latency    atomic.Int64 // nanoseconds
	lastRef    atomic.Int64
	inFlight   atomic.Int64
	log        zerolog.Logger
	control    http.Handler

	ctx  context.Context //nolint:containedctx // ends with Close, which ends calls that hang
	stop context.CancelFunc

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

// New validates the configuration and opens the ledger. The caller must call Close.
func New(cfg Config) (*Simulator, error) {
	cfg = cfg.withDefaults()
	s, err := build(cfg)
	if err != nil {
		return nil, fmt.Errorf("simulator: %w", err)
	}
	s.latency.Store(int64(cfg.Latency))
	s.control = s.controlRoutes()
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s, nil
}

func build(cfg Config) (*Simulator, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	who, err := newAccount(cfg)
	if err != nil {
		return nil, err
	}
	limit := Limit{Calls: cfg.Limit, Per: cfg.Per, Window: cfg.Window, Burst: cfg.Burst}
	operations := make(map[Endpoint]*operation)
	for _, e := range endpoints() {
		if operations[e], err = newOperation(limit); err != nil {
			return nil, err
		}
	}
	store, err := newImages(cfg.LinkTTL)
	if err != nil {
		return nil, err
	}
	ledgers, err := newBilling(cfg)
	if err != nil {
		return nil, errors.Join(err, store.close())
	}
	s := &Simulator{
		account: who, operations: operations, billing: ledgers, images: store,
		addresses: &addresses{limit: cfg.LimitPerIP, per: cfg.Per},
		faults:    newFaults(cfg.Seed),
		cards:     newCards(cfg.Masker, store, maxPixels),
		publicURL: strings.TrimSuffix(cfg.PublicURL, "/"),
		log:       cfg.Log,
	}
	// Reference numbers continue after those in the ledger, so they stay unique after a restart.
	s.lastRef.Store(firstReference + ledgers.ledger.seq)
	return s, nil
}

// firstReference gives the numbers the size of the vendor's.
const firstReference = 354_000_000

// Close ends calls that hang, waits for the others, and removes temporary files. Later calls get a reset connection. Close
// the server after it: a server waits for its handlers.
func (s *Simulator) Close() error {
	s.mu.Lock()
	was := s.closed
	s.closed = true
	s.mu.Unlock()
	if was {
		return nil
	}
	s.stop()
	s.running.Wait()
	return errors.Join(s.billing.ledger.close(), s.images.close())
}

// enter counts a request for which Close waits.
func (s *Simulator) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.running.Add(1)
	return true
}

// ServeHTTP answers the two calls, under /verification and without it, the image links, and /_sim/.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		reset(w)
		return
	}
	defer s.running.Done()
	switch path := strings.TrimPrefix(r.URL.Path, "/verification"); {
	case path == "/aadhaar-masking":
		s.serveCall(w, r, AadhaarMasking)
	case path == "/passport":
		s.serveCall(w, r, Passport)
	case strings.HasPrefix(path, imagePath):
		s.images.ServeHTTP(w, r)
	case strings.HasPrefix(r.URL.Path, "/_sim/"):
		s.control.ServeHTTP(w, r)
	default:
		writeError(w, errNoRoute)
	}
}

// AddFault adds a rule and returns it with its ID. POST /_sim/faults does the same.
func (s *Simulator) AddFault(f Fault) (Fault, error) { return s.faults.add(f) }

// ClearFaults removes all rules.
func (s *Simulator) ClearFaults() { s.faults.clear() }

// SetBalance sets the number of paid calls left; below 0 it is unlimited.
func (s *Simulator) SetBalance(calls int) { s.billing.setBalance(calls) }

// SetCredentials changes the credentials; if both are empty, any are accepted.
func (s *Simulator) SetCredentials(clientID, clientSecret string) {
	s.account.setCredentials(clientID, clientSecret)
}

// SetLimit changes the limit of an endpoint and starts a new window.
func (s *Simulator) SetLimit(e Endpoint, l Limit) error { return s.operations[e].setLimit(l) }

// SetLatency changes the latency of answers.
func (s *Simulator) SetLatency(d time.Duration) { s.latency.Store(int64(max(d, 0))) }

// Ledger yields all entries, the oldest first.
func (s *Simulator) Ledger() iter.Seq2[LedgerEntry, error] { return s.billing.entries() }

// wait waits for the latency or Close. It does not depend on the client: the vendor decides and charges a received request.
func (s *Simulator) wait() {
	d := time.Duration(s.latency.Load())
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ctx.Done():
	}
}
