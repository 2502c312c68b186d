package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// SelfTest checks that the store can keep kycq's promises: the buckets exist and are accessible, and conditional writes
// work. It tries those on a temporary object of the records bucket. The error is one line that says what to do:
// ErrNoBucket, ErrDenied, ErrUnreachable, ErrNoConditions, or another failure of the store.
func (s *Store) SelfTest(ctx context.Context) error {
	for _, bucket := range []string{s.cfg.RecordsBucket, s.cfg.InboxBucket, s.cfg.MaskedBucket} {
		if err := s.checkBucket(ctx, bucket); err != nil {
			return err
		}
	}
	key := probePrefix + newWriteID()
	err := s.testConditions(ctx, key)
	// The object is deleted also after a failure, and if ctx has ended.
	removed := s.delete(context.WithoutCancel(ctx), "remove test object", s.cfg.RecordsBucket, key)
	if err != nil {
		return err
	}
	return removed
}

// testConditions does not use Store.write: its reading back would hide what the store does.
func (s *Store) testConditions(ctx context.Context, key string) error {
	first, err := s.testPut(ctx, key, "1", "")
	if err != nil {
		return s.testFailure(ctx, err)
	}
	if _, err = s.testPut(ctx, key, "2", ""); !isRefusal(err, "") {
		return s.notRefused(ctx, "a create of an object that exists", err)
	}
	second, err := s.testPut(ctx, key, "3", first)
	if err != nil {
		return s.testFailure(ctx, err)
	}
	if _, err = s.testPut(ctx, key, "4", first); !isRefusal(err, first) {
		return s.notRefused(ctx, "a swap with an outdated ETag", err)
	}
	return s.testRead(ctx, key, second)
}

// notRefused explains a write that succeeded, or failed for another reason, where a refusal was due.
func (s *Store) notRefused(ctx context.Context, what string, err error) error {
	if err != nil {
		return s.testFailure(ctx, err)
	}
	return fmt.Errorf("test the store: %w: it accepted %s; use a store that does, such as AWS S3 or MinIO", ErrNoConditions, what)
}

// testFailure names a store that rejects the condition headers; other errors it classifies.
func (s *Store) testFailure(ctx context.Context, err error) error {
	if _, code := answerOf(err); code == "NotImplemented" {
		return fmt.Errorf("test the store: %w: it answered NotImplemented; use a store that does, such as AWS S3 or MinIO", ErrNoConditions)
	}
	return classify(ctx, "test the store", s.cfg.RecordsBucket, err)
}

func (s *Store) testPut(ctx context.Context, key, body, ifMatch string) (etag string, err error) {
	etag, err = s.put(ctx, conditionalWrite{
		bucket: s.cfg.RecordsBucket, key: key, contentType: "text/plain", body: []byte(body), ifMatch: ifMatch,
	})
	if err == nil && etag == "" {
		return "", errors.New("the store answered a PUT without an ETag")
	}
	return etag, err
}

// testRead checks what Version depends on: a read returns the last write, its ETag and its age.
func (s *Store) testRead(parent context.Context, key, etag string) error {
	ctx, cancel := bounded(parent)
	defer cancel()
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.cfg.RecordsBucket, Key: &key})
	if err != nil {
		return classify(parent, "test the store", s.cfg.RecordsBucket, err)
	}
	defer out.Body.Close()
	_, dated := awsmiddleware.GetServerTime(out.ResultMetadata)
	switch {
	case aws.ToString(out.ETag) != etag:
		return errors.New("test the store: a read does not show the last write: use a store with read-after-write consistency")
	case !dated || out.LastModified == nil:
		return errors.New("test the store: a read lacks the Date or Last-Modified header, from which the age of a record is taken")
	}
	return nil
}
