package objects

import (
	"context"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// client is the SDK's client with what stores ask for beyond the SDK's defaults: the headers of encryption, and ETags with
// which a condition can be written.
type client struct {
	*s3.Client
	sse    types.ServerSideEncryption // empty: the bucket's default
	kmsKey *string                    // nil: the account's default key
	plain  sync.Map                   // the names of buckets that never had versions
}

func (c *client) PutObject(ctx context.Context, in *s3.PutObjectInput) (*s3.PutObjectOutput, error) {
	in.ServerSideEncryption, in.SSEKMSKeyId = c.sse, c.kmsKey
	out, err := c.Client.PutObject(ctx, in)
	if err == nil {
		out.ETag = strong(out.ETag)
	}
	return out, err
}

func (c *client) CreateMultipartUpload(ctx context.Context, in *s3.CreateMultipartUploadInput) (*s3.CreateMultipartUploadOutput, error) {
	in.ServerSideEncryption, in.SSEKMSKeyId = c.sse, c.kmsKey
	return c.Client.CreateMultipartUpload(ctx, in)
}

func (c *client) GetObject(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	out, err := c.Client.GetObject(ctx, in)
	if err == nil {
		out.ETag = strong(out.ETag)
	}
	return out, err
}

func (c *client) HeadObject(ctx context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	out, err := c.Client.HeadObject(ctx, in)
	if err == nil {
		out.ETag = strong(out.ETag)
	}
	return out, err
}

// strong removes the mark of a weak ETag, which a compressing proxy adds: If-Match never matches a weak one.
func strong(etag *string) *string {
	if etag == nil {
		return nil
	}
	text := strings.TrimPrefix(*etag, "W/")
	return &text
}
