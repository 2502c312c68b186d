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

// metaWriteID is the user metadata (x-amz-meta-...) in which a write of a generic object carries its write_id. A record
// carries it in its body too.
const metaWriteID = "kycq-write-id"

// codeConditionalConflict is AWS' answer (409) while another conditional write of the same key is in flight.
const codeConditionalConflict = "ConditionalRequestConflict"

// conditionalWrite is a PUT that must not overwrite what its author has not seen.
type conditionalWrite struct {
	op, bucket, key, contentType string
	body                         []byte
	writeID                      string
	// ifMatch is the ETag that must still stand; empty means that nothing may stand there.
	ifMatch string
	// limit is for reading back.
	limit int64
	// isOurs tells from what stands there whether this very write put it there.
	isOurs func(*object) bool
}

// newWriteID is random, so that no two writers of one key can ever mistake each other's write for their own.
func newWriteID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails: it crashes the program where the system has no randomness
	return hex.EncodeToString(b)
}

// write sends the PUT and settles what became of it. The answer alone does not tell: when a reply is lost, the SDK's own
// retry meets the object that the first try has just written, and gets a 412. So a refusal and a silence are both settled
// by reading back. It returns the new ETag, or ErrExists (create), ErrConflict (swap), ErrUncertain.
func (s *Store) write(parent context.Context, w conditionalWrite) (Version, error) {
	etag, err := s.put(parent, w)
	if err == nil {
		return Version{ETag: etag}, nil
	}
	refused := isRefusal(err, w.ifMatch)
	if !refused && !isSilence(err) {
		return Version{}, classify(parent, w.op, w.bucket, err)
	}
	cause := classify(parent, w.op, w.bucket, err)
	if parent.Err() != nil {
		return Version{}, fmt.Errorf("%w: %w", cause, ErrUncertain)
	}
	return s.settle(parent, w, refused, cause)
}

// settle reads back what stands there. Own write: success. Another's: lost, for certain even after a silence, since this
// write's condition can no longer hold. Unchanged: a refused create or swap may be begun anew, a silent one may still
// arrive.
func (s *Store) settle(parent context.Context, w conditionalWrite, refused bool, cause error) (Version, error) {
	found, err := s.getWithin(parent, readBackTimeout, w.op+": read back", w.bucket, w.key, w.limit)
	gone := errors.Is(err, ErrNotFound)
	switch {
	case err == nil && w.isOurs(found):
		return Version{ETag: found.version.ETag}, nil
	case err != nil && !gone, // nothing learned
		gone && w.ifMatch == "",                              // what refused the create is gone again, or a silent one has not arrived
		!gone && !refused && found.version.ETag == w.ifMatch: // a silent swap has not arrived
		return Version{}, fmt.Errorf("%w: %w", cause, ErrUncertain)
	case w.ifMatch == "":
		return Version{}, fmt.Errorf("%s: %w", w.op, ErrExists)
	}
	return Version{}, fmt.Errorf("%s: %w", w.op, ErrConflict)
}

func (s *Store) put(parent context.Context, w conditionalWrite) (etag string, err error) {
	ctx, cancel := context.WithTimeoutCause(parent, callTimeout, errTooSlow)
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

// isRefusal tells whether the store says that the condition does not hold: 412; 409 when AWS' competing writes did not
// come to an end within our retries; 404 for a swap of an object that is gone.
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

// isSilence tells whether the store may have done what we asked although no success came back: no whole answer, or one
// that blames itself (5xx).
func isSilence(err error) bool {
	if errors.Is(err, errNoCredentials) {
		return false
	}
	status, _ := answerOf(err)
	return status == 0 || status == http.StatusRequestTimeout || status >= http.StatusInternalServerError ||
		status/100 == 2 // a success whose body or headers could not be read
}
