package storage

import (
	"bytes"
	"context"
	"fmt"
	"iter"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// maxObject bounds what is read of a generic object.
const maxObject = 64 << 20

// PutObject writes a generic object (batches/..., audit/...), overwriting what stands there. It is for objects that are
// written by one writer or always with the same content.
func (s *Store) PutObject(ctx context.Context, key string, body []byte, contentType string) error {
	if err := checkObjectKey(key); err != nil {
		return fmt.Errorf("put object: %w", err)
	}
	return s.overwrite(ctx, "put object", &s3.PutObjectInput{Bucket: &s.cfg.RecordsBucket, Key: &key, ContentType: &contentType}, body)
}

// overwrite is the one unconditional PUT of a small object. Records never pass here.
func (s *Store) overwrite(parent context.Context, op string, in *s3.PutObjectInput, body []byte) error {
	ctx, cancel := context.WithTimeoutCause(parent, callTimeout, errTooSlow)
	defer cancel()
	in.Body = bytes.NewReader(body)
	_, err := s.client.PutObject(ctx, in)
	return classify(parent, op, *in.Bucket, err)
}

// PutNewObject writes a generic object where none stands and returns its ETag for a swap. Errors: ErrExists,
// ErrUncertain.
func (s *Store) PutNewObject(ctx context.Context, key string, body []byte, contentType string) (etag string, err error) {
	return s.writeObject(ctx, "create object", key, body, contentType, "")
}

// SwapObject replaces the generic object of that ETag and returns the new one. Errors: ErrConflict where it has changed
// or is gone, ErrUncertain.
func (s *Store) SwapObject(ctx context.Context, key string, body []byte, etag string) (newETag string, err error) {
	if etag == "" { // would create
		return "", fmt.Errorf("swap object: the ETag of a read or a write is needed")
	}
	return s.writeObject(ctx, "swap object", key, body, jsonType, etag)
}

func (s *Store) writeObject(ctx context.Context, op, key string, body []byte, contentType, ifMatch string) (string, error) {
	if err := checkObjectKey(key); err != nil {
		return "", fmt.Errorf("%s: %w", op, err)
	}
	id := newWriteID()
	v, err := s.write(ctx, conditionalWrite{
		op: op, bucket: s.cfg.RecordsBucket, key: key, contentType: contentType,
		body: body, writeID: id, ifMatch: ifMatch, limit: maxObject,
		isOurs: func(found *object) bool { return found.writeID == id },
	})
	return v.ETag, err
}

// Object reads a generic object of at most 64 MiB. It returns ErrNotFound where there is none.
func (s *Store) Object(ctx context.Context, key string) (body []byte, v Version, err error) {
	if err := checkObjectKey(key); err != nil {
		return nil, Version{}, fmt.Errorf("read object: %w", err)
	}
	found, err := s.get(ctx, "read object", s.cfg.RecordsBucket, key, maxObject)
	if err != nil {
		return nil, Version{}, err
	}
	return found.body, found.version, nil
}

// DeleteObject removes a generic object; one that is not there is removed already.
func (s *Store) DeleteObject(ctx context.Context, key string) error {
	if err := checkObjectKey(key); err != nil {
		return fmt.Errorf("delete object: %w", err)
	}
	return s.delete(ctx, "delete object", s.cfg.RecordsBucket, key)
}

// List walks the generic objects whose keys begin with prefix, in the order of their keys. It ends with the first error.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[ObjectInfo, error] {
	if err := checkObjectPrefix(prefix); err != nil {
		return func(yield func(ObjectInfo, error) bool) { yield(ObjectInfo{}, fmt.Errorf("list objects: %w", err)) }
	}
	return s.list(ctx, "list objects", s.cfg.RecordsBucket, prefix)
}
