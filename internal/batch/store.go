package batch

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/storage"
)

// Store keeps batches in the records bucket:
//
//	batches/<id>/batch.json              the batch, changed by compare-and-swap
//	batches/<id>/manifest/<plan>/<part>  sealed rows
//	batches/<id>/passes/<list>/<part>    rows and runs of a retry
//	batches/<id>/report.csv summary.json written at the end
//	open/batch/<id>/<run>                marks a batch whose run is not done, so that listing those is cheap
//
// The marker of a run is written before batch.json opens the run, and deleted last.
type Store struct {
	objects, markers *objects.Bucket
	owe              func(ctx context.Context, e storage.Event, data []byte) error
}

// NewStore returns a Store for the records bucket of s3.
func NewStore(s3 *storage.Store) *Store {
	return &Store{objects: objectsOf(s3), markers: s3.Buckets().Records.Within(openFolder, "marker"), owe: s3.Owe}
}

func objectsOf(s3 *storage.Store) *objects.Bucket { return s3.Buckets().Records.Within(root, "object") }

const (
	root       = "batches/"
	openFolder = "open/batch/"
	jsonType   = "application/json"

	// readParallel is how many objects are read at once; a read is little more than a round trip.
	readParallel = 32
)

func batchKey(id string) string   { return root + id + "/batch.json" }
func summaryKey(id string) string { return root + id + "/summary.json" }

// ReportKey is the key of the report of a batch that has ended.
func ReportKey(id string) string { return root + id + "/report.csv" }

// Load reads a batch. It returns ErrNotFound if there is none.
func (s *Store) Load(ctx context.Context, id string) (*Batch, error) {
	b, _, err := s.load(ctx, id)
	return b, err
}

func (s *Store) load(ctx context.Context, id string) (b *Batch, etag string, err error) {
	if err := CheckID(id); err != nil {
		return nil, "", err
	}
	b = new(Batch)
	etag, err = s.get(ctx, batchKey(id), b)
	switch {
	case errors.Is(err, objects.ErrNotFound):
		return nil, "", fmt.Errorf("%s: %w", id, ErrNotFound)
	case err != nil:
		return nil, "", err
	case b.ID != id || len(b.Runs) == 0:
		return nil, "", fmt.Errorf("read %s: not written by kycq", batchKey(id))
	case b.Version > batchVersion:
		return nil, "", fmt.Errorf("read batch %s: it was written by a newer kycq (version %d): upgrade this one", id, b.Version)
	}
	return b, etag, nil
}

// get reads a JSON object.
func (s *Store) get(ctx context.Context, key string, v any) (etag string, err error) {
	found, err := s.objects.Get(ctx, key)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", key, err)
	}
	if err := json.Unmarshal(found.Body, v); err != nil {
		return "", fmt.Errorf("read %s: not written by kycq", key)
	}
	return found.ETag, nil
}

// put writes a JSON object unconditionally.
func (s *Store) put(ctx context.Context, key string, v any) error {
	body, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		err = s.objects.Put(ctx, key, body, jsonType)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}

// Accept writes a new batch, which accepts its rows. If the batch exists, created is false and b is set to what is stored.
// The error is ErrOtherManifest if the stored one has other rows or settings.
func (s *Store) Accept(ctx context.Context, b *Batch) (created bool, err error) {
	b.Version, b.CreatedAt = batchVersion, now()
	b.UpdatedAt = b.CreatedAt
	body, err := json.Marshal(b)
	if err == nil {
		err = storage.WriteMarked(func() error { return s.mark(ctx, b) }, func() error {
			_, err := s.objects.Create(ctx, batchKey(b.ID), body)
			return err
		})
	}
	switch {
	case err == nil:
		return true, nil
	case !errors.Is(err, objects.ErrExists):
		return false, fmt.Errorf("accept batch %s: %w", b.ID, err)
	}
	existing, err := s.Load(ctx, b.ID)
	if err != nil {
		return false, err
	}
	if existing.Plan != b.Plan || existing.Kind != b.Kind {
		return false, fmt.Errorf("%s: %w", b.ID, ErrOtherManifest)
	}
	*b = *existing
	if !b.Done() {
		err = s.mark(ctx, b)
	}
	return false, err
}

// errUnchanged tells Edit that there is nothing to write.
var errUnchanged = errors.New("unchanged")

// Edit changes a batch by compare-and-swap; change is called again after a conflict. A batch that is open after the change
// has its marker before it.
func (s *Store) Edit(ctx context.Context, id string, change func(*Batch) error) (*Batch, error) {
	for {
		b, etag, err := s.load(ctx, id)
		if err != nil {
			return nil, err
		}
		done := b.Done()
		if err := change(b); errors.Is(err, errUnchanged) {
			return b, nil
		} else if err != nil {
			return nil, err
		}
		b.UpdatedAt = now()
		body, err := json.Marshal(b)
		if err == nil {
			write := func() error {
				_, err := s.objects.Swap(ctx, batchKey(id), body, etag)
				return err
			}
			if b.Done() {
				if !done {
					err = s.owe(ctx, b.Finished(), nil)
				}
				if err == nil {
					err = write()
				}
			} else {
				err = storage.WriteMarked(func() error { return s.mark(ctx, b) }, write)
			}
		}
		switch {
		case err == nil:
			return b, nil
		case !errors.Is(err, objects.ErrConflict), ctx.Err() != nil:
			return nil, fmt.Errorf("change batch %s: %w", id, err)
		}
	}
}

// Finished is the event that the batch has ended.
func (b *Batch) Finished() storage.Event {
	return storage.Event{Name: storage.EventBatchFinished, Kind: string(b.Kind), ID: b.ID, Run: len(b.Runs), At: b.EndedAt}
}

// mark writes the marker of the batch's last run.
func (s *Store) mark(ctx context.Context, b *Batch) error {
	if err := s.markers.Put(ctx, fmt.Sprintf("%s%s/%d", openFolder, b.ID, len(b.Runs)), nil, "application/octet-stream"); err != nil {
		return fmt.Errorf("mark batch %s as open: %w", b.ID, err)
	}
	return nil
}

// MarkOpen writes the marker of each batch that is not done. Versions without markers wrote none.
func (s *Store) MarkOpen(ctx context.Context) error {
	all, err := s.All(ctx)
	for _, b := range all {
		if err == nil && !b.Done() {
			err = s.mark(ctx, b)
		}
	}
	return err
}

// unmark deletes the markers of a batch that is done. A further run has its own.
func (s *Store) unmark(ctx context.Context, b *Batch) error {
	for info, err := range s.markers.List(ctx, openFolder+b.ID+"/") {
		if _, run := parseMarker(info.Key); err == nil && run <= len(b.Runs) {
			err = s.markers.Delete(ctx, info.Key)
		}
		if err != nil {
			return fmt.Errorf("mark batch %s as done: %w", b.ID, err)
		}
	}
	return nil
}

// parseMarker returns the batch and the run of a marker; the batch is empty if it is not one.
func parseMarker(key string) (id string, run int) {
	id, number, _ := strings.Cut(strings.TrimPrefix(key, openFolder), "/")
	run, err := strconv.Atoi(number)
	if err != nil || CheckID(id) != nil {
		return "", 0
	}
	return id, run
}

// openIDs lists the batches with a marker. A marker without a batch is deleted after storage.MarkerLife.
func (s *Store) openIDs(ctx context.Context) ([]string, error) {
	var ids []string
	for info, err := range s.markers.List(ctx, openFolder) {
		if err != nil {
			return nil, fmt.Errorf("list open batches: %w", err)
		}
		id, _ := parseMarker(info.Key)
		if id == "" || slices.Contains(ids, id) {
			continue
		}
		if info.Age > storage.MarkerLife {
			if _, err := s.Load(ctx, id); errors.Is(err, ErrNotFound) {
				_ = s.markers.Delete(ctx, info.Key)
				continue
			}
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// Open lists the batches that are not done.
func (s *Store) Open(ctx context.Context) ([]*Batch, error) {
	ids, err := s.openIDs(ctx)
	if err != nil {
		return nil, err
	}
	return s.loadAll(ctx, ids, func(b *Batch) bool { return !b.Done() })
}

// IDs lists the ids of batches that begin with prefix.
func (s *Store) IDs(ctx context.Context, prefix string) (ids []string, err error) {
	for name, err := range s.objects.Folders(ctx, root) {
		if err != nil {
			return nil, fmt.Errorf("list batches: %w", err)
		}
		if CheckID(name) == nil && strings.HasPrefix(name, prefix) {
			ids = append(ids, name)
		}
	}
	return ids, nil
}

// All lists every batch, by id.
func (s *Store) All(ctx context.Context) ([]*Batch, error) {
	ids, err := s.IDs(ctx, "")
	if err != nil {
		return nil, err
	}
	return s.LoadAll(ctx, ids)
}

// SameFile lists the batches that were submitted from a file with this SHA-256, except id.
func (s *Store) SameFile(ctx context.Context, content, id string) ([]*Batch, error) {
	var ids []string
	for name, err := range s.objects.Folders(ctx, root) {
		if err != nil {
			return nil, fmt.Errorf("list batches: %w", err)
		}
		if CheckID(name) == nil && name != id && strings.HasSuffix(name, content[:hashDigits]) {
			ids = append(ids, name)
		}
	}
	return s.loadAll(ctx, ids, func(b *Batch) bool { return b.Content == content })
}

// LoadAll reads batches. Submissions that were never accepted are skipped.
func (s *Store) LoadAll(ctx context.Context, ids []string) ([]*Batch, error) {
	return s.loadAll(ctx, ids, func(*Batch) bool { return true })
}

// loadAll reads the batches that keep accepts. Submissions that were never accepted are skipped.
func (s *Store) loadAll(ctx context.Context, ids []string, keep func(*Batch) bool) ([]*Batch, error) {
	batches := make([]*Batch, len(ids))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readParallel)
	for i, id := range ids {
		group.Go(func() (err error) {
			if batches[i], err = s.Load(ctx, id); errors.Is(err, ErrNotFound) {
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(batches, func(b *Batch) bool { return b == nil || !keep(b) }), nil
}

// Rerun is a row of a retry. It holds no personal data.
type Rerun struct {
	Row int `json:"row"`
	Run int `json:"run"` // of the row's job
	// Was is how the row had ended, for the counts.
	Was RowState `json:"was"`
	// Review is whether a person should have looked at its image.
	Review bool `json:"review,omitempty"`
	// Code is its code.
	Code string `json:"code,omitempty"`
}

// listRows is how many rows of a retry one object holds.
const listRows = 1000

func listKey(id, list string, number int) string {
	return fmt.Sprintf("%s%s/passes/%s/%06d", root, id, list, number)
}

// writeList stores the rows of a run, before the run is added to the batch, and returns the list's name. The name is
// random because two operators may retry at once.
func (s *Store) writeList(ctx context.Context, id string, rows []Rerun) (list string, err error) {
	list = strings.ToLower(rand.Text()[:12])
	for n := 0; n*listRows < len(rows); n++ {
		if err := s.put(ctx, listKey(id, list, n), rows[n*listRows:min((n+1)*listRows, len(rows))]); err != nil {
			return "", err
		}
	}
	return list, nil
}

func (s *Store) readList(ctx context.Context, id, list string, number int) (rows []Rerun, err error) {
	_, err = s.get(ctx, listKey(id, list, number), &rows)
	return rows, err
}

// now has the precision of the JSON it is written to.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
