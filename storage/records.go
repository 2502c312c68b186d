package storage

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/tasks"
)

// Version identifies what was read, for a swap that must not overwrite anything newer.
type Version struct {
	ETag string
	// Age is how long ago the record was written by the store's clock (Date minus Last-Modified of one response), in whole
	// seconds. It is 0 after an own write.
	Age time.Duration
}

// Record reads the record of a job with a single request. It returns ErrNotFound if there is none.
func (s *Store) Record(ctx context.Context, kind tasks.Kind, id string) (*Record, Version, error) {
	key, err := recordKey(kind, id)
	if err != nil {
		return nil, Version{}, fmt.Errorf("read record: %w", err)
	}
	found, err := s.records.Get(ctx, key)
	if err != nil {
		return nil, Version{}, err
	}
	r, err := decodeRecord(found.Body)
	if err != nil {
		return nil, Version{}, fmt.Errorf("read record %s: %w", key, err)
	}
	if r.Kind != kind || r.VerificationID != id {
		return nil, Version{}, fmt.Errorf("read record %s: it names another job", key)
	}
	return r, Version{ETag: found.ETag, Age: found.Age}, nil
}

// CreateRecord writes the first record of a job. It sets Version, WriteID and UpdatedAt, and CreatedAt if it is zero; if the
// write fails, r is unchanged. Errors: ErrExists, ErrUncertain.
func (s *Store) CreateRecord(ctx context.Context, r *Record) (Version, error) {
	if err := s.oweEnd(ctx, r); err != nil {
		return Version{}, fmt.Errorf("create record: %w", err)
	}
	return writeRecord("create record", r, *r, func(key string, body []byte) (string, error) {
		return s.records.Create(ctx, key, body)
	})
}

// SwapRecord replaces the record that was read with version v. It sets a new WriteID and UpdatedAt; if the write fails, r is
// unchanged. Errors: ErrConflict if the record has changed since or is gone, ErrUncertain.
func (s *Store) SwapRecord(ctx context.Context, r *Record, v Version) (Version, error) {
	if r.Version < 1 || r.Version > RecordVersion {
		return Version{}, fmt.Errorf("swap record: %w: %d", ErrVersion, r.Version)
	}
	if err := s.oweEnd(ctx, r); err != nil {
		return Version{}, fmt.Errorf("swap record: %w", err)
	}
	return writeRecord("swap record", r, *r, func(key string, body []byte) (string, error) {
		return s.records.Swap(ctx, key, body, v.ETag)
	})
}

// ForgetOldRecords deletes the earlier versions of a record, if the bucket has versions: they hold what an erasure has removed
// from the record. It may return a RemainsError.
func (s *Store) ForgetOldRecords(ctx context.Context, kind tasks.Kind, id string) error {
	key, err := recordKey(kind, id)
	if err != nil {
		return fmt.Errorf("purge record: %w", err)
	}
	return s.records.PurgeOld(ctx, key)
}

// writeRecord writes next, the copy of r, and sets r to it.
func writeRecord(op string, r *Record, next Record, write func(key string, body []byte) (etag string, err error)) (Version, error) {
	key, err := recordKey(r.Kind, r.VerificationID)
	if err != nil {
		return Version{}, fmt.Errorf("%s: %w", op, err)
	}
	if r.State == "" || r.Run < 1 {
		return Version{}, fmt.Errorf("%s: a record needs a state and a run from 1", op)
	}
	next.Version, next.WriteID = next.formVersion(), objects.NewWriteID()
	next.UpdatedAt, next.Ending = now(), false
	if next.CreatedAt.IsZero() {
		next.CreatedAt = next.UpdatedAt
	}
	body, err := next.MarshalJSON() // json.Marshal would check and copy it again
	if err != nil {
		return Version{}, fmt.Errorf("%s: %w", op, err)
	}
	etag, err := write(key, body)
	if err != nil {
		return Version{}, err
	}
	*r = next
	return Version{ETag: etag}, nil
}

// now has the precision of a record, so a record reads back equal.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// Records yields the ids of all records of a kind, in key order. It ends with the first error.
func (s *Store) Records(ctx context.Context, kind tasks.Kind) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for info, err := range s.records.List(ctx, recordsOf(kind)) {
			if err != nil {
				yield("", err)
				return
			}
			// Other objects were not written by kycq.
			if id, ok := recordID(kind, info.Key); ok && !yield(id, nil) {
				return
			}
		}
	}
}
