package objects

import (
	"context"
	"fmt"
	"io"
	"net/http"

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
	IfMatch     string // if set, only an object with this ETag is replaced
}

// Upload streams a file into the inbox, with the tag that the lifecycle rule selects by; without it if the store refuses the
// tag. It writes nothing if the same content is stored already and less than half of the lifecycle has passed. It returns
// ErrConflict if IfMatch is set and the object has changed or is gone.
func (b *Buckets) Upload(ctx context.Context, key string, u Upload) error {
	const op = "upload image"
	if err := b.Inbox.checkKey(key); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	classified := func(err error) error {
		if u.IfMatch != "" && isRefusal(err, u.IfMatch) {
			return fmt.Errorf("%s: %w", op, ErrConflict)
		}
		return classify(ctx, op, b.Inbox.name, err)
	}
	found, err := b.Inbox.stat(ctx, callTimeout, key)
	switch status, _ := answerOf(err); {
	case err == nil && found.Metadata[metaSHA256] == u.SHA256 && aws.ToInt64(found.ContentLength) == u.Size &&
		age(found.ResultMetadata, found.LastModified) < b.inboxLifecycle/2:
		return nil
	case err != nil && status/100 != 3 && status/100 != 4:
		return classified(err)
	}
	// The answer to a HEAD has no body that says what was refused, and may be refused where a PUT is not: the PUT will tell.
	if !b.untagged.Load() {
		err = b.upload(ctx, key, u, aws.String(uploadTagKey+"="+uploadTagValue))
		if !tagRefused(err) {
			return classified(err)
		}
	}
	refused := err
	if err = b.upload(ctx, key, u, nil); err == nil {
		b.untagged.Store(true)
		return nil
	}
	if tagRefused(err) && !b.untagged.Load() {
		err = refused // the tag was not the reason
	}
	return classified(err)
}

// upload sends the PUT of an upload. Its error is not classified.
func (b *Buckets) upload(ctx context.Context, key string, u Upload, tags *string) error {
	if _, err := u.Body.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("rewind source: %w", err)
	}
	in := &s3.PutObjectInput{
		Bucket: &b.Inbox.name, Key: &key, Body: u.Body, ContentLength: &u.Size, ContentType: &u.ContentType,
		Metadata: map[string]string{metaSHA256: u.SHA256}, Tagging: tags,
	}
	if u.IfMatch != "" {
		in.IfMatch = &u.IfMatch
	}
	_, err := b.client.PutObject(ctx, in) // bounded by stallTimeout, see client.go
	return err
}

// tagRefused reports whether the store may have refused a PUT because of its tag: stores without tags answer 400 or 501, and
// 403 if the credentials lack s3:PutObjectTagging.
func tagRefused(err error) bool {
	status, code := answerOf(err)
	return status == http.StatusBadRequest || status == http.StatusNotImplemented || status == http.StatusForbidden && code == "AccessDenied"
}
