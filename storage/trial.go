package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Trial is what Try has found out about one bucket.
type Trial struct {
	// Role is inbox, masked or records.
	Role, Bucket string
	// Public says that somebody without credentials can read or list the bucket.
	Public bool
	// Err is the first thing that did not work: ErrNoBucket, ErrDenied, ErrUnreachable, ErrNoConditions or another.
	Err error
}

// Try does in every bucket what kycq does there, with a throw-away object below probe/: create it, fail to create it
// again, read it, delete it. It also knocks as a stranger.
func (s *Store) Try(ctx context.Context) []Trial {
	trials := []Trial{
		{Role: "inbox", Bucket: s.cfg.InboxBucket}, {Role: "masked", Bucket: s.cfg.MaskedBucket}, {Role: "records", Bucket: s.cfg.RecordsBucket},
	}
	for i := range trials {
		trials[i].Public, trials[i].Err = s.try(ctx, trials[i].Bucket)
	}
	return trials
}

func (s *Store) try(ctx context.Context, bucket string) (public bool, err error) {
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
		return false, fmt.Errorf("%s: a read shows something else than what was written", w.op)
	}
	return s.openToStrangers(ctx, w.bucket, w.key), nil
}

// openToStrangers asks without credentials. Every failure counts as a closed door: what is asked here was possible with
// credentials a moment ago.
func (s *Store) openToStrangers(parent context.Context, bucket, key string) bool {
	ctx, cancel := context.WithTimeoutCause(parent, callTimeout, errTooSlow)
	defer cancel()
	// A client of its own: as an option of a single call, the SDK does not take "no credentials" for an answer.
	stranger := s3.New(s.client.Options(), func(o *s3.Options) { o.Credentials = aws.AnonymousCredentials{} })
	one := int32(1)
	if _, err := stranger.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &bucket, MaxKeys: &one}); err == nil {
		return true
	}
	out, err := stranger.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return false
	}
	_ = out.Body.Close()
	return true
}
