package objects

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// probePrefix is the folder of the temporary objects of SelfTest and Check, in every bucket.
const probePrefix = "probe/"

// SelfTest checks that the store can keep kycq's promises: the buckets exist and are accessible, and conditional writes
// work in the records bucket. The error is one line that says what to do: ErrNoBucket, ErrDenied, ErrUnreachable,
// ErrNoConditions, or another failure of the store.
func (b *Buckets) SelfTest(ctx context.Context) error {
	for _, bucket := range []*Bucket{b.Records, b.Inbox, b.Masked} {
		if err := bucket.checkAccess(ctx); err != nil {
			return err
		}
	}
	return b.Records.selfTest(ctx, func(string) {})
}

// BucketCheck is the result of Check for one bucket.
type BucketCheck struct {
	// Role is inbox, masked or records.
	Role, Bucket string
	// Public is true if the bucket can be read or listed without credentials.
	Public bool
	// Err is the first failure: ErrNoBucket, ErrDenied, ErrUnreachable, ErrNoConditions or another.
	Err error
}

// Check performs the operations that kycq needs in every bucket, and tries anonymous access.
func (b *Buckets) Check(ctx context.Context) []BucketCheck {
	var checks []BucketCheck
	for i, role := range []string{"inbox", "masked", "records"} {
		bucket := b.all()[i]
		check := BucketCheck{Role: role, Bucket: bucket.name, Err: bucket.checkAccess(ctx)}
		if check.Err == nil {
			check.Err = bucket.selfTest(ctx, func(key string) { check.Public = bucket.isPublic(ctx, key) })
		}
		checks = append(checks, check)
	}
	return checks
}

// selfTest checks conditional writes, reading and deleting with a temporary object, and calls use while the object exists.
func (b *Bucket) selfTest(ctx context.Context, use func(key string)) error {
	test := b.Within(probePrefix, "test object")
	key := probePrefix + NewWriteID()
	err := test.testConditions(ctx, key)
	if err == nil {
		use(key)
	}
	// The object is deleted also after a failure, and if ctx has ended.
	if removed := test.Delete(context.WithoutCancel(ctx), key); err == nil {
		err = removed
	}
	return err
}

// testConditions does not use Create and Swap: their look at the stored object would hide what the store does.
func (b *Bucket) testConditions(ctx context.Context, key string) error {
	id := NewWriteID()
	var first, last string // ETags
	for _, step := range []struct {
		body    string
		swap    bool   // with the first ETag
		refused string // what the store must refuse; empty: it must accept
	}{
		{body: "1"},
		{body: "2", refused: "a create of an object that exists"},
		{body: "3", swap: true},
		{body: "4", swap: true, refused: "a swap with an outdated ETag"},
	} {
		ifMatch := ""
		if step.swap {
			ifMatch = first
		}
		next, err := b.putIf(ctx, key, []byte(step.body), id, ifMatch)
		_, code := answerOf(err)
		switch {
		case err == nil && step.refused != "":
			return noConditions("accepted " + step.refused)
		case code == "NotImplemented":
			return noConditions("answered NotImplemented")
		case err == nil && next == "":
			return errors.New("test the store: it answered a PUT without an ETag")
		case err == nil:
			first, last = cmp.Or(first, next), next
		case step.refused == "" || !isRefusal(err, ifMatch):
			return classify(ctx, "test the store", b.name, err)
		}
	}
	return b.testRead(ctx, key, "3", last, id)
}

func noConditions(what string) error {
	return fmt.Errorf("test the store: %w: it %s; use a store that does, such as AWS S3 or MinIO", ErrNoConditions, what)
}

// testRead checks that a read returns the last write, its ETag, the write id, and the headers from which Object.Age is
// computed.
func (b *Bucket) testRead(parent context.Context, key, body, etag, writeID string) error {
	ctx, cancel := bounded(parent)
	defer cancel()
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		return classify(parent, "test the store", b.name, err)
	}
	defer out.Body.Close()
	found, err := io.ReadAll(io.LimitReader(out.Body, maxObject))
	if err != nil {
		return classify(parent, "test the store", b.name, err)
	}
	_, dated := awsmiddleware.GetServerTime(out.ResultMetadata)
	switch {
	case aws.ToString(out.ETag) != etag || !bytes.Equal(found, []byte(body)):
		return errors.New("test the store: a read does not show the last write: use a store with read-after-write consistency")
	case out.Metadata[metaWriteID] != writeID:
		return errors.New("test the store: a read lacks the user metadata (x-amz-meta-...) of the write: use a store that keeps it")
	case !dated || out.LastModified == nil:
		return errors.New("test the store: a read lacks the Date or Last-Modified header, from which the age of a record is taken")
	}
	return nil
}

// isPublic reports whether the bucket or the object can be read without credentials. Every failure counts as denied, since
// the same requests have just succeeded with credentials.
func (b *Bucket) isPublic(ctx context.Context, key string) bool {
	// A separate client: the SDK ignores anonymous credentials as an option of a single call.
	anonymous := s3.New(b.client.Options(), func(o *s3.Options) { o.Credentials = aws.AnonymousCredentials{} })
	open := &Bucket{client: anonymous, name: b.name}
	if _, err := open.listOne(ctx); err == nil {
		return true
	}
	_, err := open.Get(ctx, key)
	return err == nil
}
