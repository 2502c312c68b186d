package objects

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// probePrefix is the folder of the temporary objects of SelfTest and Check, in every bucket.
const probePrefix = "probe/"

// conditional ends the key of the second temporary object of selfTest.
const conditional = "-conditional"

// SelfTest checks that the store can keep kycq's promises: the buckets exist, are accessible and not public, and honour
// conditional writes. The error is one line that says what to do: ErrNoBucket, ErrDenied, ErrUnreachable, ErrNoConditions,
// ErrPublic, ErrRegion, or another failure of the store.
func (b *Buckets) SelfTest(ctx context.Context) error {
	for _, bucket := range []*Bucket{b.Records, b.Inbox, b.Masked} {
		if err := bucket.checkAccess(ctx); err != nil {
			return err
		}
	}
	if err := b.CheckRegions(ctx); err != nil {
		return err
	}
	for _, bucket := range []*Bucket{b.Records, b.Inbox, b.Masked} {
		public := false
		err := ignoreRemains(bucket.selfTest(ctx, func(key string) { public = bucket.isPublic(ctx, key) }))
		if err == nil && public {
			err = fmt.Errorf("test the store: %w: %q: remove the policy or ACL that opens it, and turn on Block Public Access", ErrPublic, bucket.name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// BucketCheck is the result of Check for one bucket.
type BucketCheck struct {
	// Role is inbox, masked or records.
	Role, Bucket string
	// Public is true if the bucket can be read, listed or changed without credentials.
	Public bool
	// Denied is set by the caller if a missing permission explains Err.
	Denied bool
	// Err is the first failure: ErrNoBucket, ErrDenied, ErrUnreachable, ErrNoConditions, ErrRegion or another.
	Err error
	// Retention is what the bucket keeps and deletes by itself. Its warnings include what the store lacks.
	Retention Retention
	// Protection is how the bucket is protected.
	Protection []Aspect
}

// Check performs the operations that kycq needs in every bucket, and tries anonymous access.
func (b *Buckets) Check(ctx context.Context) []BucketCheck {
	var checks []BucketCheck
	for i, role := range []string{"inbox", "masked", "records"} {
		bucket := b.all()[i]
		check := BucketCheck{Role: role, Bucket: bucket.name, Err: bucket.checkAccess(ctx)}
		if check.Err == nil {
			check.Err = b.checkRegion(ctx, bucket)
		}
		if check.Err == nil {
			check.Retention, check.Protection = b.retention(ctx, bucket), b.protection(ctx, bucket)
			check.Err = b.checkWrites(ctx, bucket, &check)
		}
		checks = append(checks, check)
	}
	return checks
}

// checkWrites writes what kycq writes into the bucket, by the same code.
func (b *Buckets) checkWrites(ctx context.Context, bucket *Bucket, check *BucketCheck) error {
	err := bucket.selfTest(ctx, func(key string) { check.Public = bucket.isPublic(ctx, key) })
	var remains *RemainsError
	if errors.As(err, &remains) {
		check.Retention.warn("kycq erase cannot remove old versions", remains.Error())
		err = nil
	}
	switch {
	case err != nil:
	case bucket == b.Inbox:
		return b.checkUpload(ctx, check)
	case bucket == b.Records:
		key := probePrefix + NewWriteID()
		w := &streamWriter{ctx: ctx, bucket: bucket.Within(probePrefix, "test object"), key: key, contentType: "text/plain"}
		w.buf.WriteByte('x')
		if err = errors.Join(w.flush(), w.finish()); err != nil {
			w.abort()
			check.Retention.warn("multipart uploads do not work, so a batch whose report exceeds 8 MiB cannot end", err.Error())
			return nil
		}
		return ignoreRemains(bucket.Purge(ctx, key))
	}
	return err
}

// checkUpload uploads an image as a producer does, and looks whether the store has kept its tag.
func (b *Buckets) checkUpload(ctx context.Context, check *BucketCheck) error {
	key := probePrefix + NewWriteID()
	body := []byte("x")
	sum := sha256.Sum256(body)
	err := b.Upload(ctx, key, Upload{Body: bytes.NewReader(body), Size: 1, SHA256: hex.EncodeToString(sum[:]), ContentType: "text/plain"})
	if err == nil && (b.untagged.Load() || !b.keepsTag(ctx, key)) {
		check.Retention.warn("tags are not stored, so no lifecycle rule removes uploads that failed jobs have left",
			"grant s3:PutObjectTagging; if the store has no tags, "+b.inboxUploads().manual)
	}
	if removed := ignoreRemains(b.Inbox.Purge(context.WithoutCancel(ctx), key)); err == nil {
		err = removed
	}
	return err
}

// keepsTag reports whether the uploaded object has its tag; true if the store does not tell.
func (b *Buckets) keepsTag(parent context.Context, key string) bool {
	ctx, cancel := bounded(parent)
	defer cancel()
	out, err := b.client.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: &b.Inbox.name, Key: &key})
	status, _ := answerOf(err)
	return err != nil && status != http.StatusNotImplemented ||
		err == nil && slices.ContainsFunc(out.TagSet, func(t types.Tag) bool { return aws.ToString(t.Key) == uploadTagKey })
}

func ignoreRemains(err error) error { return new(RemainsError).Take(err) }

// selfTest checks conditional writes, reading and deleting with a temporary object, and calls use while the object exists. It
// may return a RemainsError.
func (b *Bucket) selfTest(ctx context.Context, use func(key string)) error {
	test := b.Within(probePrefix, "test object")
	key := probePrefix + NewWriteID()
	err := test.Put(ctx, key, []byte("0"), "text/plain")
	if err != nil && b.client.sse != "" {
		err = fmt.Errorf("%w (it was asked for KYCQ_S3_SSE=%s)", err, b.client.sse)
	}
	if err == nil {
		err = test.testConditions(ctx, key+conditional)
	}
	if err == nil {
		use(key)
	}
	// The objects are deleted also after a failure, and if ctx has ended.
	var remains RemainsError
	for _, k := range []string{key, key + conditional} {
		if removed := remains.Take(test.Purge(context.WithoutCancel(ctx), k)); err == nil {
			err = removed
		}
	}
	if err == nil && remains.Err != nil { // object lock is no failure
		err = &remains
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

// isPublic reports whether the bucket or the object can be read, written or deleted without credentials. Every other answer counts
// as denied, since the same requests have just succeeded with credentials.
func (b *Bucket) isPublic(ctx context.Context, key string) bool {
	// A separate client: the SDK ignores anonymous credentials as an option of a single call.
	anonymous := s3.New(b.client.Options(), func(o *s3.Options) { o.Credentials = aws.AnonymousCredentials{} })
	open := &Bucket{client: &client{Client: anonymous}, name: b.name}
	if _, err := open.listOne(ctx); err == nil {
		return true
	}
	if _, err := open.Get(ctx, key); err == nil {
		return true
	}
	err := open.try(ctx, "PutObject", key+conditional)
	if status, _ := answerOf(err); err == nil || status == http.StatusPreconditionFailed { // denials come before conditions
		return true
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	_, err = open.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: aws.String(key + conditional)})
	return err == nil
}
