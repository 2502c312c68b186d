package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Probe proves at start-up that the store can carry kycq's promises: the buckets are there and open to us, and conditional
// writes are honoured. It tries those on a throw-away object of the records bucket and removes it. The error is one line
// that says what to do: ErrNoBucket, ErrDenied, ErrUnreachable, ErrNoConditions, or another fault of the store's.
func (s *Store) Probe(ctx context.Context) error {
	for _, bucket := range []string{s.cfg.RecordsBucket, s.cfg.InboxBucket, s.cfg.MaskedBucket} {
		if err := s.checkBucket(ctx, bucket); err != nil {
			return err
		}
	}
	key := probePrefix + newWriteID()
	err := s.probeConditions(ctx, key)
	// Also after a failure, and also when the caller gives up: the bucket keeps no rubbish.
	removed := s.delete(context.WithoutCancel(ctx), "remove probe object", s.cfg.RecordsBucket, key)
	if err != nil {
		return err
	}
	return removed
}

// probeConditions writes without conditionalWrite: reading back would hide what the store does.
func (s *Store) probeConditions(ctx context.Context, key string) error {
	first, err := s.probePut(ctx, key, "1", "")
	if err != nil {
		return s.probeFault(ctx, err)
	}
	if _, err = s.probePut(ctx, key, "2", ""); !isRefusal(err, "") {
		return s.notRefused(ctx, "a create of an object that exists", err)
	}
	second, err := s.probePut(ctx, key, "3", first)
	if err != nil {
		return s.probeFault(ctx, err)
	}
	if _, err = s.probePut(ctx, key, "4", first); !isRefusal(err, first) {
		return s.notRefused(ctx, "a swap with an outdated ETag", err)
	}
	return s.probeRead(ctx, key, second)
}

// notRefused explains a write that had to be refused and was not: done, or ended by another fault.
func (s *Store) notRefused(ctx context.Context, what string, err error) error {
	if err != nil {
		return s.probeFault(ctx, err)
	}
	return fmt.Errorf("probe store: %w: it took %s; use a store that does, such as AWS S3 or MinIO", ErrNoConditions, what)
}

// probeFault tells a store that knows the headers and rejects them from one that has another fault.
func (s *Store) probeFault(ctx context.Context, err error) error {
	if _, code := answerOf(err); code == "NotImplemented" {
		return fmt.Errorf("probe store: %w: it answered NotImplemented; use a store that does, such as AWS S3 or MinIO", ErrNoConditions)
	}
	return classify(ctx, "probe store", s.cfg.RecordsBucket, err)
}

func (s *Store) probePut(parent context.Context, key, body, ifMatch string) (etag string, err error) {
	etag, err = s.put(parent, conditionalWrite{
		bucket: s.cfg.RecordsBucket, key: key, contentType: "text/plain", body: []byte(body), ifMatch: ifMatch,
	})
	if err == nil && etag == "" {
		return "", errors.New("the store answered a PUT without an ETag")
	}
	return etag, err
}

// probeRead checks what Version stands on: a read sees the last write at once, and tells its ETag and its age.
func (s *Store) probeRead(parent context.Context, key, etag string) error {
	ctx, cancel := context.WithTimeoutCause(parent, callTimeout, errTooSlow)
	defer cancel()
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.cfg.RecordsBucket, Key: &key})
	if err != nil {
		return classify(parent, "probe store", s.cfg.RecordsBucket, err)
	}
	defer out.Body.Close()
	_, dated := awsmiddleware.GetServerTime(out.ResultMetadata)
	switch {
	case aws.ToString(out.ETag) != etag:
		return errors.New("probe store: a read does not show the last write: use a store with read-after-write consistency")
	case !dated || out.LastModified == nil:
		return errors.New("probe store: a read lacks the Date or Last-Modified header, from which the age of a record is taken")
	}
	return nil
}
