package storage

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
)

// maxObject bounds the size of a generic object that is read.
const maxObject = 64 << 20

// Version identifies what was read, for a swap that must not overwrite anything newer.
type Version struct {
	ETag string
	// Age is how long ago the object was written by the store's clock (Date minus Last-Modified of one response), in whole
	// seconds. It is 0 after an own write.
	Age time.Duration
}

// object is a small object, read whole.
type object struct {
	body    []byte
	version Version
	writeID string
}

// bounded returns a context that ends after callTimeout.
func bounded(parent context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(parent, callTimeout, errTooSlow)
}

// get reads a whole object of at most limit bytes with one request.
func (s *Store) get(parent context.Context, op, bucket, key string, limit int64) (*object, error) {
	return s.getWithin(parent, callTimeout, op, bucket, key, limit)
}

func (s *Store) getWithin(parent context.Context, timeout time.Duration, op, bucket, key string, limit int64) (*object, error) {
	ctx, cancel := context.WithTimeoutCause(parent, timeout, errTooSlow)
	defer cancel()
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return nil, classify(parent, op, bucket, err)
	}
	defer out.Body.Close()
	body, err := io.ReadAll(io.LimitReader(out.Body, limit+1))
	if err != nil {
		return nil, classify(parent, op, bucket, err)
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("%s: object is larger than %d bytes", op, limit)
	}
	return &object{
		body:    body,
		version: Version{ETag: aws.ToString(out.ETag), Age: age(out.ResultMetadata, out.LastModified)},
		writeID: out.Metadata[metaWriteID],
	}, nil
}

// age is Date minus Last-Modified of one response. If one is missing it is 0, which never lets a worker take a record over;
// SelfTest refuses such a store.
func age(response middleware.Metadata, modified *time.Time) time.Duration {
	date, ok := awsmiddleware.GetServerTime(response)
	if !ok || modified == nil {
		return 0
	}
	return max(0, date.Sub(*modified))
}

// delete deletes an object. A missing one is not an error.
func (s *Store) delete(parent context.Context, op, bucket, key string) error {
	ctx, cancel := bounded(parent)
	defer cancel()
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: &key})
	return classify(parent, op, bucket, err)
}

// overwrite is the only unconditional PUT of a small object. It is never used for records.
func (s *Store) overwrite(parent context.Context, op, bucket, key, contentType string, body []byte) error {
	ctx, cancel := bounded(parent)
	defer cancel()
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, ContentType: &contentType, Body: bytes.NewReader(body)})
	return classify(parent, op, bucket, err)
}

// PutObject writes a generic object (batches/..., audit/...) and overwrites an existing one. It is for objects that have
// one writer or always the same content.
func (s *Store) PutObject(ctx context.Context, key string, body []byte, contentType string) error {
	if err := checkObjectKey(key); err != nil {
		return fmt.Errorf("put object: %w", err)
	}
	return s.overwrite(ctx, "put object", s.cfg.RecordsBucket, key, contentType, body)
}

// PutNewObject creates a generic object and returns its ETag for a swap. Errors: ErrExists, ErrUncertain.
func (s *Store) PutNewObject(ctx context.Context, key string, body []byte, contentType string) (etag string, err error) {
	return s.writeObject(ctx, "create object", key, body, contentType, "")
}

// SwapObject replaces the generic object that has the ETag and returns the new ETag. Errors: ErrConflict if it has changed
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

// Object reads a generic object of at most 64 MiB. It returns ErrNotFound if there is none.
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

// DeleteObject deletes a generic object. A missing one is not an error.
func (s *Store) DeleteObject(ctx context.Context, key string) error {
	if err := checkObjectKey(key); err != nil {
		return fmt.Errorf("delete object: %w", err)
	}
	return s.delete(ctx, "delete object", s.cfg.RecordsBucket, key)
}
