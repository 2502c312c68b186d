package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"github.com/kycq/kycq/tasks"
)

// maxRecord bounds the size of a record: sealed input, sealed answer (at most 1 MiB before sealing) and attempts.
const maxRecord = 8 << 20

const jsonType = "application/json"

// Record reads the record of a job with a single request. It returns ErrNotFound if there is none.
func (s *Store) Record(ctx context.Context, kind tasks.Kind, id string) (*Record, Version, error) {
	key, err := recordKey(kind, id)
	if err != nil {
		return nil, Version{}, fmt.Errorf("read record: %w", err)
	}
	found, err := s.get(ctx, "read record", s.cfg.RecordsBucket, key, maxRecord)
	if err != nil {
		return nil, Version{}, err
	}
	r, err := decodeRecord(found.body)
	if err != nil {
		return nil, Version{}, fmt.Errorf("read record %s: %w", key, err)
	}
	if r.Kind != kind || r.VerificationID != id {
		return nil, Version{}, fmt.Errorf("read record %s: it names another job", key)
	}
	return r, found.version, nil
}

// CreateRecord writes the first record of a job. It sets Version, WriteID and UpdatedAt, and CreatedAt if it is zero; if the
// write fails, r is unchanged. Errors: ErrExists, ErrUncertain.
func (s *Store) CreateRecord(ctx context.Context, r *Record) (Version, error) {
	next := *r
	next.Version = RecordVersion
	return s.writeRecord(ctx, "create record", r, next, "")
}

// SwapRecord replaces the record that was read with version v. It sets a new WriteID and UpdatedAt; if the write fails, r is
// unchanged. Errors: ErrConflict if the record has changed since or is gone, ErrUncertain.
func (s *Store) SwapRecord(ctx context.Context, r *Record, v Version) (Version, error) {
	if v.ETag == "" { // would create
		return Version{}, fmt.Errorf("swap record: the version of a read or a write is needed")
	}
	if r.Version != RecordVersion {
		return Version{}, fmt.Errorf("swap record: %w: %d", ErrVersion, r.Version)
	}
	return s.writeRecord(ctx, "swap record", r, *r, v.ETag)
}

func (s *Store) writeRecord(ctx context.Context, op string, r *Record, next Record, ifMatch string) (Version, error) {
	key, err := recordKey(r.Kind, r.VerificationID)
	if err != nil {
		return Version{}, fmt.Errorf("%s: %w", op, err)
	}
	if r.State == "" || r.Run < 1 {
		return Version{}, fmt.Errorf("%s: a record needs a state and a run from 1", op)
	}
	next.WriteID = newWriteID()
	next.UpdatedAt = now()
	if next.CreatedAt.IsZero() {
		next.CreatedAt = next.UpdatedAt
	}
	body, err := json.Marshal(next)
	if err != nil {
		return Version{}, fmt.Errorf("%s: %w", op, err)
	}
	v, err := s.write(ctx, conditionalWrite{
		op: op, bucket: s.cfg.RecordsBucket, key: key, contentType: jsonType,
		body: body, writeID: next.WriteID, ifMatch: ifMatch, limit: maxRecord,
		isOurs: func(found *object) bool {
			existing, err := decodeRecord(found.body)
			return err == nil && existing.WriteID == next.WriteID
		},
	})
	if err == nil {
		*r = next
	}
	return v, err
}

// now has the precision of a record, so a record reads back equal.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// Records yields the ids of all records of a kind, in key order. It ends with the first error.
func (s *Store) Records(ctx context.Context, kind tasks.Kind) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for info, err := range s.list(ctx, "list records", recordsOf(kind)) {
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
