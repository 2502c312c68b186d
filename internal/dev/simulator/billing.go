package simulator

import (
	"fmt"
	"iter"
	"sync"
	"time"
)

// endless is an unlimited balance.
const endless = -1

// billing holds the balance, the used ids, the ledger and its totals. One lock covers them, since a charge changes all of
// them or none.
type billing struct {
	mu      sync.Mutex
	takeIDs string
	balance int
	taken   map[idKey]struct{}
	ledger  *ledger
	totals  map[Endpoint]*Totals
}

// idKey: ids are assumed to be unique per endpoint, as kycq's ids are per kind.
type idKey struct {
	endpoint Endpoint
	id       string
}

// Totals counts the ledger entries of an endpoint.
type Totals struct {
	Requests int            `json:"requests"`
	ByStatus map[int]int    `json:"by_status"` // 0 is no answer
	ByCode   map[string]int `json:"by_code"`
	ByFault  map[string]int `json:"by_fault"`
	Charged  int            `json:"charged"`
	IDsTaken int            `json:"ids_taken"`
}

func newBilling(cfg Config) (*billing, error) {
	b := &billing{balance: cfg.Balance, taken: make(map[idKey]struct{}), totals: make(map[Endpoint]*Totals)}
	for _, e := range endpoints() {
		b.totals[e] = &Totals{ByStatus: map[int]int{}, ByCode: map[string]int{}, ByFault: map[string]int{}}
	}
	if err := b.setTakeIDs(cfg.TakeIDs); err != nil {
		return nil, err
	}
	var err error
	b.ledger, err = openLedger(cfg.LedgerPath, func(e LedgerEntry) {
		b.count(e)
		if e.TookID {
			b.taken[idKey{e.Endpoint, e.VerificationID}] = struct{}{}
		}
	})
	return b, err
}

func (b *billing) setTakeIDs(mode string) error {
	if mode != TakeOnArrival && mode != TakeOnSuccess {
		return fmt.Errorf("take ids on %q: use %s or %s", mode, TakeOnArrival, TakeOnSuccess)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.takeIDs = mode
	return nil
}

// arrive is steps 12 and 13: it takes the id, if ids are taken on arrival, and checks the balance.
func (b *billing) arrive(e *LedgerEntry) *vendorError {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := idKey{e.Endpoint, e.VerificationID}
	if _, gone := b.taken[key]; gone {
		return errIDTaken
	}
	if b.takeIDs == TakeOnArrival {
		b.taken[key] = struct{}{}
		e.TookID = true
	}
	if b.balance == 0 {
		return errBalance
	}
	return nil
}

// charge writes the entry, reduces the balance and takes the id. It repeats the checks of arrive, since another call may have
// come first. If the ledger cannot be written, nothing is charged.
func (b *billing) charge(e *LedgerEntry) (*vendorError, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := idKey{e.Endpoint, e.VerificationID}
	if !e.TookID {
		if _, gone := b.taken[key]; gone {
			return errIDTaken, nil
		}
	}
	if b.balance == 0 {
		return errBalance, nil
	}
	paid := *e
	paid.Charged, paid.TookID = true, true
	if err := b.write(&paid); err != nil {
		return nil, err
	}
	*e = paid
	b.taken[key] = struct{}{}
	if b.balance != endless {
		b.balance--
	}
	return nil, nil
}

// record writes the entry of a request that is not charged.
func (b *billing) record(e *LedgerEntry) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.write(e)
}

func (b *billing) write(e *LedgerEntry) error {
	e.At = time.Now().UTC()
	if err := b.ledger.append(e); err != nil {
		return err
	}
	b.count(*e)
	return nil
}

func (b *billing) count(e LedgerEntry) {
	t := b.totals[e.Endpoint]
	if t == nil { // a foreign line in an existing ledger
		return
	}
	t.Requests++
	t.ByStatus[e.Status]++
	if e.Code != "" {
		t.ByCode[e.Code]++
	}
	if e.Fault != "" {
		t.ByFault[e.Fault]++
	}
	if e.Charged {
		t.Charged++
	}
	if e.TookID {
		t.IDsTaken++
	}
}

func (b *billing) setBalance(calls int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.balance = max(calls, endless)
}

// topUp adds to a limited balance.
func (b *billing) topUp(calls int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.balance != endless {
		b.balance = max(0, b.balance+calls)
	}
}

func (b *billing) entries() iter.Seq2[LedgerEntry, error] {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ledger.entries(b.ledger.size)
}
