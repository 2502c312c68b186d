package batch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/storage"
)

// Store keeps the batches in S3:
//
//	batches/<id>/batch.json              what the batch is, changed by compare-and-swap
//	batches/<id>/manifest/<plan>/<part>  sealed rows
//	batches/<id>/passes/<n>/<part>       rows and runs of a retry
//	batches/<id>/report.csv summary.json written at the end
//	batches/_open/<id>                   a marker while the batch is not done, so that finding those needs no look at all
type Store struct{ objects *storage.Store }

// NewStore keeps batches in the records bucket of the store.
func NewStore(store *storage.Store) *Store { return &Store{objects: store} }

const (
	root       = "batches/"
	openFolder = "_open"
	jsonType   = "application/json"
)

func batchKey(id string) string   { return root + id + "/batch.json" }
func markerKey(id string) string  { return root + openFolder + "/" + id }
func summaryKey(id string) string { return root + id + "/summary.json" }

// ReportKey is where the report of a batch that has ended lies.
func ReportKey(id string) string { return root + id + "/report.csv" }

// Load reads a batch. It returns ErrNotFound where there is none.
func (c *Store) Load(ctx context.Context, id string) (*Batch, error) {
	b, _, err := c.load(ctx, id)
	return b, err
}

func (c *Store) load(ctx context.Context, id string) (*Batch, string, error) {
	if err := CheckID(id); err != nil {
		return nil, "", err
	}
	body, version, err := c.objects.Object(ctx, batchKey(id))
	if errors.Is(err, storage.ErrNotFound) {
		return nil, "", fmt.Errorf("%s: %w", id, ErrNotFound)
	}
	if err != nil {
		return nil, "", fmt.Errorf("read batch %s: %w", id, err)
	}
	b := new(Batch)
	if err := json.Unmarshal(body, b); err != nil || b.ID != id || len(b.Runs) == 0 {
		return nil, "", fmt.Errorf("read batch %s: batch.json is not one that kycq wrote", id)
	}
	if b.Version > batchVersion {
		return nil, "", fmt.Errorf("read batch %s: it was written by a later kycq (version %d): upgrade this one", id, b.Version)
	}
	return b, version.ETag, nil
}

// Accept writes a new batch, and by that accepts its rows. created is false where it was accepted before; then b is what
// stands there. The error Is ErrOtherManifest where that was made of something else.
func (c *Store) Accept(ctx context.Context, b *Batch) (created bool, err error) {
	if err := c.Mark(ctx, b.ID); err != nil {
		return false, err
	}
	b.Version, b.CreatedAt = batchVersion, now()
	b.UpdatedAt = b.CreatedAt
	body, err := json.Marshal(b)
	if err != nil {
		return false, fmt.Errorf("accept batch %s: %w", b.ID, err)
	}
	_, err = c.objects.PutNewObject(ctx, batchKey(b.ID), body, jsonType)
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, storage.ErrExists) {
		return false, fmt.Errorf("accept batch %s: %w", b.ID, err)
	}
	standing, err := c.Load(ctx, b.ID)
	if err != nil {
		return false, err
	}
	if standing.Plan != b.Plan || standing.Kind != b.Kind {
		return false, fmt.Errorf("%s: %w", b.ID, ErrOtherManifest)
	}
	*b = *standing
	return false, nil
}

// errUnchanged lets a change say that there is nothing to write.
var errUnchanged = errors.New("unchanged")

// Edit changes a batch by compare-and-swap; change runs again where somebody else was faster.
func (c *Store) Edit(ctx context.Context, id string, change func(*Batch) error) (*Batch, error) {
	for {
		b, etag, err := c.load(ctx, id)
		if err != nil {
			return nil, err
		}
		if err := change(b); errors.Is(err, errUnchanged) {
			return b, nil
		} else if err != nil {
			return nil, err
		}
		b.UpdatedAt = now()
		body, err := json.Marshal(b)
		if err != nil {
			return nil, fmt.Errorf("change batch %s: %w", id, err)
		}
		_, err = c.objects.SwapObject(ctx, batchKey(id), body, etag)
		if err == nil {
			return b, nil
		}
		if !errors.Is(err, storage.ErrConflict) || ctx.Err() != nil {
			return nil, fmt.Errorf("change batch %s: %w", id, err)
		}
	}
}

// Mark notes that a batch is, or is about to be, open.
func (c *Store) Mark(ctx context.Context, id string) error {
	if err := c.objects.PutObject(ctx, markerKey(id), []byte("{}"), jsonType); err != nil {
		return fmt.Errorf("mark batch %s as open: %w", id, err)
	}
	return nil
}

func (c *Store) unmark(ctx context.Context, id string) error {
	if err := c.objects.DeleteObject(ctx, markerKey(id)); err != nil {
		return fmt.Errorf("mark batch %s as done: %w", id, err)
	}
	return nil
}

// markerLife is how long the marker of a submit that died before it was accepted is kept.
const markerLife = 7 * 24 * time.Hour

// Open lists the batches that are not done.
func (c *Store) Open(ctx context.Context) ([]*Batch, error) {
	var ids []string
	for info, err := range c.objects.List(ctx, root+openFolder+"/") {
		if err != nil {
			return nil, fmt.Errorf("list open batches: %w", err)
		}
		id := info.Key[len(root+openFolder+"/"):]
		if CheckID(id) == nil {
			ids = append(ids, id)
		}
		if time.Since(info.Modified) > markerLife {
			if _, err := c.Load(ctx, id); errors.Is(err, ErrNotFound) {
				_ = c.unmark(ctx, id)
			}
		}
	}
	all, err := c.loadAll(ctx, ids)
	if err != nil {
		return nil, err
	}
	open := all[:0]
	for _, b := range all {
		if !b.Done() {
			open = append(open, b)
		}
	}
	return open, nil
}

// All lists every batch there ever was, by id.
func (c *Store) All(ctx context.Context) ([]*Batch, error) {
	var ids []string
	for name, err := range c.objects.Folders(ctx, root) {
		if err != nil {
			return nil, fmt.Errorf("list batches: %w", err)
		}
		if CheckID(name) == nil {
			ids = append(ids, name)
		}
	}
	return c.loadAll(ctx, ids)
}

// loadAll skips what was begun and never accepted.
func (c *Store) loadAll(ctx context.Context, ids []string) ([]*Batch, error) {
	found := make([]*Batch, len(ids))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readParallel)
	for i, id := range ids {
		group.Go(func() error {
			b, err := c.Load(ctx, id)
			if errors.Is(err, ErrNotFound) {
				return nil
			}
			found[i] = b
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var batches []*Batch
	for _, b := range found {
		if b != nil {
			batches = append(batches, b)
		}
	}
	return batches, nil
}

// readParallel is how many objects are read at once: a read is a round trip to S3 and little else.
const readParallel = 32

// now has the precision of the JSON that it goes into.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
