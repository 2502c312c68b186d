package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/kycq/kycq/tasks"
)

// ImageHead reads the first n bytes of an image, or all if it is shorter, and its size with one ranged request. Errors:
// ErrNotFound, ErrNoBucket.
func (s *Store) ImageHead(parent context.Context, img tasks.Image, n int64) (head []byte, size int64, err error) {
	const op = "read image head"
	if err := img.Validate(); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", op, err)
	}
	if n < 1 {
		return nil, 0, fmt.Errorf("%s: want at least 1 byte", op)
	}
	ctx, cancel := bounded(parent)
	defer cancel()
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &img.Bucket, Key: &img.Key, Range: aws.String(fmt.Sprintf("bytes=0-%d", n-1)),
	})
	if status, _ := answerOf(err); status == http.StatusRequestedRangeNotSatisfiable {
		return nil, 0, nil // only an empty object has no byte 0
	}
	if err != nil {
		return nil, 0, classify(parent, op, img.Bucket, err)
	}
	defer out.Body.Close()
	head, err = io.ReadAll(io.LimitReader(out.Body, n))
	if err != nil {
		return nil, 0, classify(parent, op, img.Bucket, err)
	}
	size, err = wholeSize(out)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", op, err)
	}
	return head, size, nil
}

// wholeSize parses "bytes 0-65535/183220". A store without range requests sends the whole object.
func wholeSize(out *s3.GetObjectOutput) (int64, error) {
	if out.ContentRange == nil {
		if out.ContentLength == nil {
			return 0, errors.New("S3 answered without a size")
		}
		return *out.ContentLength, nil
	}
	_, total, _ := strings.Cut(*out.ContentRange, "/")
	size, err := strconv.ParseInt(total, 10, 64)
	if err != nil {
		return 0, errors.New("S3 answered with an unreadable Content-Range")
	}
	return size, nil
}

// OpenImage starts a download and returns its body, which it does not buffer, and its size. Read returns an error if the
// body breaks off or makes no progress for ten seconds. The caller closes the body; ctx must live until then. Errors:
// ErrNotFound, ErrNoBucket.
func (s *Store) OpenImage(parent context.Context, img tasks.Image) (io.ReadCloser, int64, error) {
	const op = "open image"
	if err := img.Validate(); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", op, err)
	}
	ctx, cancel := context.WithCancelCause(parent)
	// callTimeout applies to the headers; the body has stallTimeout.
	limit := time.AfterFunc(callTimeout, func() { cancel(errTooSlow) })
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &img.Bucket, Key: &img.Key})
	if err == nil && !limit.Stop() {
		_ = out.Body.Close()
		err = errTooSlow
	}
	if err == nil && out.ContentLength == nil {
		_ = out.Body.Close()
		err = errors.New("S3 answered without a size")
	}
	if err != nil {
		limit.Stop()
		cancel(nil)
		return nil, 0, classify(parent, op, img.Bucket, err)
	}
	return newStallingBody(out.Body, cancel), *out.ContentLength, nil
}
