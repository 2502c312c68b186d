package objects

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// streamPart is the size of a part, and of the buffer. S3 accepts 10,000 parts of at least 5 MiB, so 80 GiB in total.
const streamPart = 8 << 20

// PutStream is Put for an object of unknown length. It buffers at most 8 MiB. The object becomes visible only after write
// has returned nil and all of it is stored. write must not keep its Writer.
func (b *Bucket) PutStream(ctx context.Context, key, contentType string, write func(io.Writer) error) error {
	if err := b.checkKey(key); err != nil {
		return fmt.Errorf("put stream: %w", err)
	}
	w := &streamWriter{ctx: ctx, bucket: b, key: key, contentType: contentType}
	err := write(w)
	if err == nil {
		err = w.finish()
	}
	if err != nil {
		w.abort()
	}
	return err
}

// streamWriter uploads parts. A stream that fits into one becomes a plain PUT.
type streamWriter struct {
	ctx              context.Context
	bucket           *Bucket
	key, contentType string
	buf              bytes.Buffer
	upload           *string
	parts            []types.CompletedPart
}

func (w *streamWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		take := min(len(p), streamPart-w.buf.Len())
		w.buf.Write(p[:take])
		p = p[take:]
		if w.buf.Len() == streamPart {
			if err := w.flush(); err != nil {
				return n - len(p), err
			}
		}
	}
	return n, nil
}

func (w *streamWriter) flush() error {
	if w.upload == nil {
		out, err := w.bucket.client.CreateMultipartUpload(w.ctx, &s3.CreateMultipartUploadInput{
			Bucket: &w.bucket.name, Key: &w.key, ContentType: &w.contentType,
		})
		if err != nil {
			return w.classify(err)
		}
		w.upload = out.UploadId
	}
	number := aws.Int32(int32(len(w.parts) + 1))                       //nolint:gosec // at most 10,000
	out, err := w.bucket.client.UploadPart(w.ctx, &s3.UploadPartInput{ // bounded by stallTimeout, see client.go
		Bucket: &w.bucket.name, Key: &w.key, UploadId: w.upload, PartNumber: number, Body: bytes.NewReader(w.buf.Bytes()),
	})
	if err != nil {
		return w.classify(err)
	}
	w.parts = append(w.parts, types.CompletedPart{PartNumber: number, ETag: out.ETag})
	w.buf.Reset()
	return nil
}

func (w *streamWriter) finish() error {
	if w.upload == nil {
		return w.bucket.Put(w.ctx, w.key, w.buf.Bytes(), w.contentType)
	}
	if w.buf.Len() > 0 {
		if err := w.flush(); err != nil {
			return err
		}
	}
	_, err := w.bucket.client.CompleteMultipartUpload(w.ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &w.bucket.name, Key: &w.key, UploadId: w.upload, MultipartUpload: &types.CompletedMultipartUpload{Parts: w.parts},
	})
	return w.classify(err)
}

// abort deletes the parts. If that fails, the store keeps them until a rule of the bucket applies.
func (w *streamWriter) abort() {
	if w.upload == nil {
		return
	}
	ctx, cancel := bounded(context.WithoutCancel(w.ctx))
	defer cancel()
	_, _ = w.bucket.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &w.bucket.name, Key: &w.key, UploadId: w.upload})
}

func (w *streamWriter) classify(err error) error {
	return classify(w.ctx, "put stream", w.bucket.name, err)
}
