package objects

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
)

// Head reads the first n bytes of an object, or all if it is shorter, and its size with one ranged request. The key may
// have any form.
func (b *Bucket) Head(parent context.Context, key string, n int64) (head []byte, size int64, err error) {
	op := "read " + b.noun + " head"
	if n < 1 {
		return nil, 0, fmt.Errorf("%s: want at least 1 byte", op)
	}
	ctx, cancel := bounded(parent)
	defer cancel()
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &b.name, Key: &key, Range: aws.String(fmt.Sprintf("bytes=0-%d", n-1)),
	})
	if status, _ := answerOf(err); status == http.StatusRequestedRangeNotSatisfiable {
		return nil, 0, nil // only an empty object has no byte 0
	}
	if err != nil {
		return nil, 0, classify(parent, op, b.name, err)
	}
	defer out.Body.Close()
	head, err = io.ReadAll(io.LimitReader(out.Body, n))
	if err != nil {
		return nil, 0, classify(parent, op, b.name, err)
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
			return 0, errNoSize
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

var errNoSize = errors.New("S3 answered without a size")

// Open starts a download and returns its body, which it does not buffer, and its size. Read returns an error if the body
// breaks off or makes no progress for stallTimeout. The caller closes the body; ctx must live until then. The key may have
// any form.
func (b *Bucket) Open(parent context.Context, key string) (io.ReadCloser, int64, error) {
	ctx, cancel := context.WithCancelCause(parent)
	// callTimeout applies to the headers; the body has stallTimeout.
	limit := time.AfterFunc(callTimeout, func() { cancel(errTooSlow) })
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: &key})
	inTime := limit.Stop()
	switch {
	case err != nil:
	case !inTime:
		err = errTooSlow
	case out.ContentLength == nil:
		err = errNoSize
	default:
		return newStallingBody(out.Body, cancel), *out.ContentLength, nil
	}
	if out != nil {
		_ = out.Body.Close()
	}
	cancel(nil)
	return nil, 0, classify(parent, "open "+b.noun, b.name, err)
}
