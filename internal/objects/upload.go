package objects

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// metaSHA256 is the user metadata with the hash of an upload.
const metaSHA256 = "kycq-sha256"

// Upload is a file for the inbox.
type Upload struct {
	Body        io.ReadSeeker // from its start; not held in memory
	Size        int64
	SHA256      string // lower-case hex
	ContentType string
}

// Upload streams a file into the inbox, with the tag that the lifecycle rule selects by. It writes nothing if the same
// content is stored already and less than half of the lifecycle has passed.
func (b *Buckets) Upload(ctx context.Context, key string, u Upload) error {
	const op = "upload image"
	if err := b.Inbox.checkKey(key); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	found, err := b.Inbox.stat(ctx, callTimeout, key)
	// HEAD has no body that tells a missing bucket from a missing key: the PUT will.
	if err = classify(ctx, op, b.Inbox.name, err); err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if err == nil && found.Metadata[metaSHA256] == u.SHA256 && aws.ToInt64(found.ContentLength) == u.Size &&
		age(found.ResultMetadata, found.LastModified) < b.inboxLifecycle/2 {
		return nil
	}
	_, err = b.client.PutObject(ctx, &s3.PutObjectInput{ // bounded by stallTimeout, see client.go
		Bucket: &b.Inbox.name, Key: &key, Body: u.Body, ContentLength: &u.Size, ContentType: &u.ContentType,
		Metadata: map[string]string{metaSHA256: u.SHA256},
		Tagging:  aws.String(uploadTagKey + "=" + uploadTagValue),
	})
	return classify(ctx, op, b.Inbox.name, err)
}
