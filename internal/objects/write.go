package objects

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// metaWriteID is the user metadata (x-amz-meta-...) with the random id of the write.
const metaWriteID = "kycq-write-id"

// codeConditionalConflict is AWS' code (409) while another conditional write of the same key is in flight.
const codeConditionalConflict = "ConditionalRequestConflict"

// codeAborted is the code (409) of other stores for the same, and of AWS for changes of a bucket.
const codeAborted = "OperationAborted"

// NewWriteID returns a random id that no other writer has.
func NewWriteID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// Create writes a JSON object that does not exist yet, and returns its ETag for Swap. Errors: ErrExists, ErrUncertain.
func (b *Bucket) Create(ctx context.Context, key string, body []byte) (etag string, err error) {
	return b.write(ctx, "create "+b.noun, key, body, "")
}

// Swap replaces the JSON object that has the ETag and returns the new ETag. Errors: ErrConflict if it has changed or is
// gone, ErrUncertain.
func (b *Bucket) Swap(ctx context.Context, key string, body []byte, etag string) (newETag string, err error) {
	op := "swap " + b.noun
	if etag == "" { // would create
		return "", fmt.Errorf("%s: the ETag of a read or a write is needed", op)
	}
	return b.write(ctx, op, key, body, etag)
}

// write sends a PUT that replaces only the object with the ETag ifMatch, or none if it is empty, and finds out its outcome.
// The response alone is not enough: if it is lost, the SDK's retry finds the object that the first try has just written,
// and gets a 412. So after a refusal, and if no response came, write looks at the stored object. Its write id decides.
func (b *Bucket) write(parent context.Context, op, key string, body []byte, ifMatch string) (etag string, err error) {
	if err := b.checkKey(key); err != nil {
		return "", fmt.Errorf("%s: %w", op, err)
	}
	id := NewWriteID()
	etag, err = b.putIf(parent, key, body, id, ifMatch)
	if err == nil {
		return etag, nil
	}
	refused := isRefusal(err, ifMatch)
	cause := classify(parent, op, b.name, err)
	if !refused && !mayHaveHappened(err) {
		return "", cause
	}
	uncertain := fmt.Errorf("%w: %w", cause, ErrUncertain)
	if parent.Err() != nil {
		return "", uncertain
	}
	found, err := b.stat(parent, readBackTimeout, key)
	gone := errors.Is(classify(parent, op, b.name, err), ErrNotFound)
	switch {
	case err == nil && found.Metadata[metaWriteID] == id:
		return aws.ToString(found.ETag), nil
	case err != nil && !gone, // still unknown
		gone && ifMatch == "", // what refused the create is gone again, or the create has not arrived
		!gone && !refused && aws.ToString(found.ETag) == ifMatch: // the swap has not arrived
		return "", uncertain
	case ifMatch == "":
		return "", fmt.Errorf("%s: %w", op, ErrExists)
	}
	// Also without a response to the swap: its condition can no longer hold.
	return "", fmt.Errorf("%s: %w", op, ErrConflict)
}

// stat reads the headers of an object. Its error is not classified.
func (b *Bucket) stat(parent context.Context, timeout time.Duration, key string) (*s3.HeadObjectOutput, error) {
	ctx, cancel := context.WithTimeoutCause(parent, timeout, errTooSlow)
	defer cancel()
	return b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: &key})
}

// putIf sends a conditional PUT. Its error is not classified.
func (b *Bucket) putIf(parent context.Context, key string, body []byte, writeID, ifMatch string) (etag string, err error) {
	ctx, cancel := bounded(parent)
	defer cancel()
	in := &s3.PutObjectInput{
		Bucket: &b.name, Key: &key, ContentType: aws.String("application/json"),
		Body:     bytes.NewReader(body), // seekable: signing and retries read it again
		Metadata: map[string]string{metaWriteID: writeID},
	}
	if ifMatch == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = &ifMatch
	}
	out, err := b.client.PutObject(ctx, in)
	if err != nil {
		return "", err
	}
	return aws.ToString(out.ETag), nil
}

// isRefusal reports whether the store says that the condition does not hold: 412; 409 if AWS' competing writes outlast all
// retries; 404 for a swap of an object that is gone.
func isRefusal(err error, ifMatch string) bool {
	status, code := answerOf(err)
	switch status {
	case http.StatusPreconditionFailed:
		return true
	case http.StatusConflict:
		return code == codeConditionalConflict || code == codeAborted
	case http.StatusNotFound:
		return ifMatch != "" && code == "NoSuchKey"
	}
	return false
}

// mayHaveHappened reports whether a failed write may have succeeded in the store: no complete response, or a 5xx.
func mayHaveHappened(err error) bool {
	if errors.Is(err, errNoCredentials) {
		return false
	}
	status, _ := answerOf(err)
	return status == 0 || status == http.StatusRequestTimeout || status >= http.StatusInternalServerError ||
		status/100 == 2 // a success whose body or headers could not be read
}
