package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// InitStep is one thing that Init made sure of.
type InitStep struct {
	Bucket string `json:"bucket"`
	// What is the thing: "bucket" or "lifecycle".
	What string `json:"what"`
	// Existed says that it was there already and was left as it is.
	Existed bool `json:"existed"`
	// Warning says why it could not be done, where kycq works without it.
	Warning string `json:"warning,omitempty"`
}

// Init creates the buckets that are missing and the lifecycle rule of the inbox. Doing it again changes nothing. The steps
// done so far come back with an error too.
func (s *Store) Init(ctx context.Context) ([]InitStep, error) {
	var steps []InitStep
	for _, bucket := range []string{s.cfg.InboxBucket, s.cfg.MaskedBucket, s.cfg.RecordsBucket} {
		existed, err := s.makeBucket(ctx, bucket)
		if err != nil {
			return steps, err
		}
		steps = append(steps, InitStep{Bucket: bucket, What: "bucket", Existed: existed})
	}
	lifecycle, err := s.makeLifecycle(ctx)
	if err != nil {
		return steps, err
	}
	return append(steps, lifecycle), nil
}

// makeBucket looks first: to create a bucket is a permission that few accounts keep, and a store answers a needless try
// with 200, 409 or 403 as it likes.
func (s *Store) makeBucket(parent context.Context, bucket string) (existed bool, err error) {
	err = s.checkBucket(parent, bucket)
	if err == nil || !errors.Is(err, ErrNoBucket) {
		return err == nil, err
	}
	ctx, cancel := context.WithTimeoutCause(parent, callTimeout, errTooSlow)
	defer cancel()
	in := &s3.CreateBucketInput{Bucket: &bucket}
	if s.cfg.Endpoint == "" && s.cfg.Region != "us-east-1" {
		// AWS wants the region named, except for its first one; other stores know only their own.
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{
			LocationConstraint: types.BucketLocationConstraint(s.cfg.Region),
		}
	}
	_, err = s.client.CreateBucket(ctx, in)
	var taken *types.BucketAlreadyExists
	var ours *types.BucketAlreadyOwnedByYou
	switch {
	case errors.As(err, &ours): // somebody else's Init, between our look and our creation
		return true, nil
	case errors.As(err, &taken):
		return false, fmt.Errorf("create bucket: %q belongs to another account: choose another name", bucket)
	}
	return false, classify(parent, "create bucket", bucket, err)
}

// checkBucket asks for one key. Unlike HEAD, the answer says what is wrong; and without the permission to list, S3 answers
// 403 for a record that is not there, so that kycq could not work anyway.
func (s *Store) checkBucket(parent context.Context, bucket string) error {
	ctx, cancel := context.WithTimeoutCause(parent, callTimeout, errTooSlow)
	defer cancel()
	one := int32(1)
	_, err := s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &bucket, MaxKeys: &one})
	return classify(parent, "look into bucket", bucket, err)
}
