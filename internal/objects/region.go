package objects

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// CheckRegions returns ErrRegion if a bucket is in a region that is not allowed, and another error if the store does not say
// where it is. It makes no request if all regions are allowed.
func (b *Buckets) CheckRegions(ctx context.Context) error {
	for _, bucket := range b.all() {
		if err := b.checkRegion(ctx, bucket); err != nil {
			return err
		}
	}
	return nil
}

func (b *Buckets) checkRegion(parent context.Context, bucket *Bucket) error {
	if len(b.regions) == 0 {
		return nil
	}
	ctx, cancel := bounded(parent)
	defer cancel()
	out, err := b.client.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: &bucket.name})
	if err != nil {
		err = classify(parent, "read the region", bucket.name, err)
		if errors.Is(err, ErrDenied) {
			err = fmt.Errorf("%w; KYCQ_S3_ALLOWED_REGIONS needs s3:GetBucketLocation", err)
		}
		return err
	}
	region := cmp.Or(string(out.LocationConstraint), "us-east-1") // which S3 does not name
	if region == "EU" {
		region = "eu-west-1"
	}
	if !slices.Contains(b.regions, region) {
		return fmt.Errorf("%w: %q is in %s, by the store's answer, which KYCQ_S3_ALLOWED_REGIONS does not list: use a bucket in a listed region, or correct the list", ErrRegion, bucket.name, region)
	}
	return nil
}
