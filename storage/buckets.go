package storage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// checkBucket lists one key. Unlike a HEAD request, the response says what is wrong; and without the permission to list,
// S3 answers 403 for a missing record, so kycq could not work anyway.
func (s *Store) checkBucket(ctx context.Context, bucket string) error {
	_, err := s.listPage(ctx, &s3.ListObjectsV2Input{Bucket: &bucket, MaxKeys: aws.Int32(1)})
	return classify(ctx, "look into bucket", bucket, err)
}

// BucketCheck is the result of CheckBuckets for one bucket.
type BucketCheck struct {
	// Role is inbox, masked or records.
	Role, Bucket string
	// Public is true if the bucket can be read or listed without credentials.
	Public bool
	// Err is the first failure: ErrNoBucket, ErrDenied, ErrUnreachable, ErrNoConditions or another.
	Err error
}

// CheckBuckets performs in every bucket the operations that kycq needs, on a temporary object below probe/: create it, fail
// to create it again, read it, delete it. It also tries anonymous access.
func (s *Store) CheckBuckets(ctx context.Context) []BucketCheck {
	checks := []BucketCheck{
		{Role: "inbox", Bucket: s.cfg.InboxBucket}, {Role: "masked", Bucket: s.cfg.MaskedBucket}, {Role: "records", Bucket: s.cfg.RecordsBucket},
	}
	for i := range checks {
		checks[i].Public, checks[i].Err = s.tryBucket(ctx, checks[i].Bucket)
	}
	return checks
}

func (s *Store) tryBucket(ctx context.Context, bucket string) (public bool, err error) {
	const op = "try bucket"
	if err := s.checkBucket(ctx, bucket); err != nil {
		return false, err
	}
	key := probePrefix + newWriteID()
	w := conditionalWrite{op: op, bucket: bucket, key: key, contentType: "text/plain", body: []byte("kycq doctor")}
	if _, err := s.put(ctx, w); err != nil {
		return false, classify(ctx, op+": put", bucket, err)
	}
	public, err = s.tryObject(ctx, w)
	removed := s.delete(context.WithoutCancel(ctx), op+": delete", bucket, key)
	return public, errors.Join(err, removed)
}

func (s *Store) tryObject(ctx context.Context, w conditionalWrite) (public bool, err error) {
	switch _, err := s.put(ctx, w); {
	case err == nil:
		return false, fmt.Errorf("%s: %w: it created an object twice", w.op, ErrNoConditions)
	case !isRefusal(err, ""):
		return false, classify(ctx, w.op+": put again", w.bucket, err)
	}
	found, err := s.get(ctx, w.op+": get", w.bucket, w.key, int64(len(w.body)))
	if err != nil {
		return false, err
	}
	if string(found.body) != string(w.body) {
		return false, fmt.Errorf("%s: a read returned other content than was written", w.op)
	}
	return s.isPublic(ctx, w.bucket, w.key), nil
}

// isPublic reports whether the bucket or the object can be read without credentials. Every failure counts as denied, since
// the same requests have just succeeded with credentials.
func (s *Store) isPublic(parent context.Context, bucket, key string) bool {
	ctx, cancel := bounded(parent)
	defer cancel()
	// A separate client: the SDK ignores anonymous credentials as an option of a single call.
	anonymous := s3.New(s.client.Options(), func(o *s3.Options) { o.Credentials = aws.AnonymousCredentials{} })
	if _, err := anonymous.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &bucket, MaxKeys: aws.Int32(1)}); err == nil {
		return true
	}
	out, err := anonymous.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return false
	}
	_ = out.Body.Close()
	return true
}

// Clock returns how far this machine's clock is ahead of the store's (negative: behind), to about a second. Any response
// of the store carries its time, also a refusal; the error is for a store that sends none.
func (s *Store) Clock(ctx context.Context) (ahead time.Duration, err error) {
	const op = "read the store's clock"
	began := time.Now()
	out, err := s.listPage(ctx, &s3.ListObjectsV2Input{Bucket: &s.cfg.RecordsBucket, MaxKeys: aws.Int32(1)})
	ours := began.Add(time.Since(began) / 2)
	var theirs time.Time
	var dated bool
	if err == nil {
		theirs, dated = awsmiddleware.GetServerTime(out.ResultMetadata)
	} else {
		theirs, dated = dateOf(err)
	}
	switch {
	case dated:
		// The header is cut to the second: on average it is half a second late.
		return ours.Sub(theirs.Add(time.Second / 2)).Round(time.Second), nil
	case err != nil:
		return 0, classify(ctx, op, s.cfg.RecordsBucket, err)
	}
	return 0, errors.New(op + ": its response has no Date header")
}

// dateOf returns the Date header of a refused request.
func dateOf(err error) (time.Time, bool) {
	var refused *awshttp.ResponseError
	if !errors.As(err, &refused) || refused.Response == nil {
		return time.Time{}, false
	}
	at, bad := http.ParseTime(refused.Response.Header.Get("Date"))
	return at, bad == nil
}
