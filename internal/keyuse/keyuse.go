// Package keyuse finds out which keys of a keyset are still needed: it looks at every sealed text that kycq keeps, in S3
// and in Redis, and counts them by the id of the key that opens them. It needs no key for that, and opens nothing.
//
// Invariant: a text that is there from before the scan to after it is counted, also one that moves meanwhile. Texts move
// from Redis into S3 (a row's task becomes its record) and never back without staying, so Redis is read first.
package keyuse

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Store is what a scan reads in S3; *storage.Store has it.
type Store interface {
	Records(ctx context.Context, kind tasks.Kind) iter.Seq2[string, error]
	Record(ctx context.Context, kind tasks.Kind, id string) (*storage.Record, storage.Version, error)
	List(ctx context.Context, prefix string) iter.Seq2[storage.ObjectInfo, error]
	Object(ctx context.Context, key string) ([]byte, storage.Version, error)
}

// Texts counts sealed texts by where they stand.
type Texts struct {
	Records   int `json:"records"`   // inputs and answers of records
	Manifests int `json:"manifests"` // parts and headings of batches
	Redis     int `json:"redis"`     // tasks and kept answers
}

// Sum is how many there are.
func (t Texts) Sum() int { return t.Records + t.Manifests + t.Redis }

// Report is the result of a scan.
type Report struct {
	Keys map[uint32]Texts
	// Unsealed counts texts that were written without sealing.
	Unsealed int
	// Unreadable counts objects that are not what kycq wrote: what they hold is not known.
	Unreadable int
	// Looked counts the records and objects that were read.
	Looked int
}

// parallel is how many objects are read at once: a read is a round trip to S3 and little else.
const parallel = 64

// Scanner looks through one installation.
type Scanner struct {
	Store Store
	// Redis yields the values in Redis that hold sealed texts.
	Redis iter.Seq2[string, error]
	// Progress hears how many records and objects have been read, after each, one call
	// after the other; nil where nobody cares. It must not block.
	Progress func(looked int)
}

// Scan looks at everything. It ends with the first fault of S3 or Redis: half a report would say that a key is unused.
func (s *Scanner) Scan(ctx context.Context) (Report, error) {
	t := &tally{progress: s.Progress, report: Report{Keys: map[uint32]Texts{}}}
	for value, err := range s.Redis {
		if err != nil {
			return Report{}, fmt.Errorf("scan Redis: %w", err)
		}
		t.add(func(n *Texts) { n.Redis++ }, sealedTexts(value)...)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	listed := errors.Join(s.records(ctx, group, t), s.batches(ctx, group, t))
	if err := group.Wait(); err != nil { // it ends the listing too
		return Report{}, fmt.Errorf("scan S3: %w", err)
	}
	if listed != nil {
		return Report{}, listed
	}
	return t.report, nil
}

// records reads every record of both kinds.
func (s *Scanner) records(ctx context.Context, group *errgroup.Group, t *tally) error {
	for _, kind := range tasks.Kinds() {
		for id, err := range s.Store.Records(ctx, kind) {
			if err != nil {
				return fmt.Errorf("scan the records: %w", err)
			}
			group.Go(func() error {
				rec, _, err := s.Store.Record(ctx, kind, id)
				if err == nil {
					t.add(func(n *Texts) { n.Records++ }, rec.SealedInput, rec.Sealed)
				}
				return t.looked(err)
			})
		}
	}
	return nil
}

// batches reads each batch.json and each part of a manifest; what else stands beside them is never sealed.
func (s *Scanner) batches(ctx context.Context, group *errgroup.Group, t *tally) error {
	for info, err := range s.Store.List(ctx, "batches/") {
		if err != nil {
			return fmt.Errorf("scan the batches: %w", err)
		}
		if !strings.HasSuffix(info.Key, "/batch.json") && !strings.Contains(info.Key, "/manifest/") {
			continue
		}
		group.Go(func() error {
			body, _, err := s.Store.Object(ctx, info.Key)
			if err == nil {
				t.add(func(n *Texts) { n.Manifests++ }, sealedTexts(string(body))...)
			}
			return t.looked(err)
		})
	}
	return nil
}

// sealedForm finds sealed texts inside of whatever holds them: JSON, or a task as asynq encodes it.
var sealedForm = regexp.MustCompile(`kq1\.(?:[0-9]+|insecure)\.[A-Za-z0-9_-]+`)

func sealedTexts(value string) []string { return sealedForm.FindAllString(value, -1) }

// tally is a Report that many write to.
type tally struct {
	progress func(int)

	mu     sync.Mutex
	report Report
}

// add counts texts; an empty one is none.
func (t *tally) add(count func(*Texts), texts ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, text := range texts {
		if text == "" {
			continue
		}
		id, ok := seal.KeyID(text)
		if !ok {
			t.report.Unsealed++
			continue
		}
		n := t.report.Keys[id]
		count(&n)
		t.report.Keys[id] = n
	}
}

// looked counts one object, and tells a store that serves nobody, which ends the scan, from an object that cannot be read.
func (t *tally) looked(err error) error {
	for _, down := range []error{storage.ErrUnreachable, storage.ErrDenied, storage.ErrNoBucket, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, down) {
			return err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.report.Looked++
	if err != nil && !errors.Is(err, storage.ErrNotFound) { // one that is gone was removed since it was listed
		t.report.Unreadable++
	}
	if t.progress != nil {
		t.progress(t.report.Looked)
	}
	return nil
}
