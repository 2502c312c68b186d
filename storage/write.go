package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// metaWriteID is the user metadata (x-amz-meta-...) with the write_id of an object. A record has it in its body too.
const metaWriteID = "kycq-write-id"

// codeConditionalConflict is AWS' code (409) while another conditional write of the same key is in flight.
const codeConditionalConflict = "ConditionalRequestConflict"

// conditionalWrite is a PUT that must not overwrite anything that its author has not read.
type conditionalWrite struct {
	op, bucket, key, contentType string
	body                         []byte
	writeID                      string
	ifMatch                      string             // the ETag to replace; empty: create
	limit                        int64              // of the size, for reading back
	isOurs                       func(*object) bool // whether this write has stored the object
}

// newWriteID returns a random id that no other writer has.
func newWriteID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// write sends the PUT and finds out its outcome. The response alone is not enough: if it is lost, the SDK's retry finds the
// object that the first try has just written, and gets a 412. So after a refusal, and if no response came, write reads the
// object back. It returns the new ETag, or ErrExists (create), ErrConflict (swap), ErrUncertain.
func (s *Store) write(parent context.Context, w conditionalWrite) (Version, error) {
	etag, err := s.put(parent, w)
	if err == nil {
		return Version{ETag: etag}, nil
	}
	refused := isRefusal(err, w.ifMatch)
	if !refused && !mayHaveHappened(err) {
		return Version{}, classify(parent, w.op, w.bucket, err)
	}
	cause := classify(parent, w.op, w.bucket, err)
	if parent.Err() != nil {
		return Version{}, fmt.Errorf("%w: %w", cause, ErrUncertain)
	}
	return s.readBack(parent, w, refused, cause)
}

// readBack decides by the stored object. Own write: success. Another's: failure, also without a response, since this
// write's condition can no longer hold. Unchanged: uncertain, since the request may still arrive.
func (s *Store) readBack(parent context.Context, w conditionalWrite, refused bool, cause error) (Version, error) {
	found, err := s.getWithin(parent, readBackTimeout, w.op+": read back", w.bucket, w.key, w.limit)
	gone := errors.Is(err, ErrNotFound)
	switch {
	case err == nil && w.isOurs(found):
		return Version{ETag: found.version.ETag}, nil
	case err != nil && !gone, // still unknown
		gone && w.ifMatch == "",                              // what refused the create is gone again, or the create has not arrived
		!gone && !refused && found.version.ETag == w.ifMatch: // the swap has not arrived
		return Version{}, fmt.Errorf("%w: %w", cause, ErrUncertain)
	case w.ifMatch == "":
		return Version{}, fmt.Errorf("%s: %w", w.op, ErrExists)
	}
	return Version{}, fmt.Errorf("%s: %w", w.op, ErrConflict)
}

func (s *Store) put(parent context.Context, w conditionalWrite) (etag string, err error) {
	ctx, cancel := bounded(parent)
	defer cancel()
	in := &s3.PutObjectInput{
		Bucket: &w.bucket, Key: &w.key, ContentType: &w.contentType,
		Body:     bytes.NewReader(w.body), // seekable: signing and retries read it again
		Metadata: map[string]string{metaWriteID: w.writeID},
	}
	if w.ifMatch == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = &w.ifMatch
	}
	out, err := s.client.PutObject(ctx, in)
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
		return code == codeConditionalConflict
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
