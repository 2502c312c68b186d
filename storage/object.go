package storage

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
)

// Version is what of an object must still stand for a swap of it to win.
type Version struct {
	ETag string
	// Age is how long ago the object was written, by the store's own clock: Date minus Last-Modified of one response, in
	// whole seconds. It is 0 after an own write.
	Age time.Duration
}

// object is a small object, read whole.
type object struct {
	body    []byte
	version Version
	writeID string
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

// age is Date minus Last-Modified of the same response. Without one of them it is 0, which never lets anybody take a
// record over; Probe refuses such a store.
func age(answer middleware.Metadata, modified *time.Time) time.Duration {
	date, ok := awsmiddleware.GetServerTime(answer)
	if !ok || modified == nil {
		return 0
	}
	return max(0, date.Sub(*modified))
}

// delete removes an object; one that is not there is removed already.
func (s *Store) delete(parent context.Context, op, bucket, key string) error {
	ctx, cancel := context.WithTimeoutCause(parent, callTimeout, errTooSlow)
	defer cancel()
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: &key})
	return classify(parent, op, bucket, err)
}
