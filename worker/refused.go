package worker

import (
	"maps"
	"sync"
	"time"
)

// A batch whose rows have records already, of an earlier batch for example, would take a slot for each row in vain: after
// refusedRows refused claims within refusedFor, a worker reads the records of its rows first, for the rest of that time. A row that was
// delivered twice is refused, too; it says nothing of the others.
const (
	refusedRows = 3
	refusedFor  = time.Minute
)

// refusedClaims counts, for each batch, the claims without a read that were refused lately.
type refusedClaims struct {
	mu      sync.Mutex
	batches map[string]refusedBatch
}

type refusedBatch struct {
	first time.Time
	rows  int
}

func (r *refusedClaims) add(batch string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.batches == nil {
		r.batches = map[string]refusedBatch{}
	}
	maps.DeleteFunc(r.batches, func(_ string, old refusedBatch) bool { return time.Since(old.first) >= refusedFor })
	b, ok := r.batches[batch]
	if !ok {
		b.first = time.Now()
	}
	b.rows++
	r.batches[batch] = b
}

// many reports whether to read the records of a batch's rows.
func (r *refusedClaims) many(batch string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.batches[batch]
	return b.rows >= refusedRows && time.Since(b.first) < refusedFor
}
