package objects

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// InitStep reports one step of Init.
type InitStep struct {
	Bucket string `json:"bucket"`
	// What is "bucket" or "lifecycle".
	What string `json:"what"`
	// Existed is true if nothing had to be done.
	Existed bool `json:"existed"`
	// Warning says why the step failed, for a step that kycq can work without.
	Warning string `json:"warning,omitempty"`
}

// Init creates missing buckets and the lifecycle rules. It may be repeated. With an error, it also returns the
// steps done before.
func (b *Buckets) Init(ctx context.Context) ([]InitStep, error) {
	var steps []InitStep
	for _, bucket := range b.all() {
		existed, err := bucket.create(ctx)
		if err != nil {
			return steps, err
		}
		steps = append(steps, InitStep{Bucket: bucket.name, What: "bucket", Existed: existed})
	}
	for _, l := range b.lifecycles() {
		step, err := l.set(ctx)
		if err != nil {
			return steps, err
		}
		steps = append(steps, step)
	}
	return steps, nil
}

// create checks first: few accounts keep the permission to create buckets, and stores answer a needless creation with 200,
// 409 or 403.
func (b *Bucket) create(parent context.Context) (existed bool, err error) {
	err = b.checkAccess(parent)
	if err == nil || !errors.Is(err, ErrNoBucket) {
		return err == nil, err
	}
	ctx, cancel := bounded(parent)
	defer cancel()
	in := &s3.CreateBucketInput{Bucket: &b.name}
	if o := b.client.Options(); o.BaseEndpoint == nil && o.Region != "us-east-1" {
		// AWS requires the region, except for us-east-1; other stores have only one.
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(o.Region)}
	}
	_, err = b.client.CreateBucket(ctx, in)
	var taken *types.BucketAlreadyExists
	var ours *types.BucketAlreadyOwnedByYou
	switch {
	case errors.As(err, &ours): // created meanwhile by another Init
		return true, nil
	case errors.As(err, &taken):
		return false, fmt.Errorf("create bucket: %q belongs to another account: choose another name", b.name)
	}
	return false, classify(parent, "create bucket", b.name, err)
}
