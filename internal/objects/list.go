package objects

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Info describes an object in a listing.
type Info struct {
	Key  string
	Size int64
	// Age is how long ago the object was written by the store's clock, in whole seconds.
	Age time.Duration
}

// List yields the objects whose keys begin with prefix, in key order. It ends with the first error.
func (b *Bucket) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return b.ListAfter(ctx, prefix, "")
}

// ListAfter is List for the keys after one, which need not exist.
func (b *Bucket) ListAfter(ctx context.Context, prefix, after string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		for page, err := range b.pages(ctx, "list "+b.noun+"s", prefix, "", after) {
			if err != nil {
				yield(Info{}, err)
				return
			}
			for _, o := range page.Contents {
				info := Info{Key: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), Age: age(page.ResultMetadata, o.LastModified)}
				if !yield(info, nil) {
					return
				}
			}
		}
	}
}

// Folders yields the names between prefix (which ends with a slash) and the next slash, without listing what is below
// them. It ends with the first error.
func (b *Bucket) Folders(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for page, err := range b.pages(ctx, "list folders", prefix, "/", "") {
			if err != nil {
				yield("", err)
				return
			}
			for _, folder := range page.CommonPrefixes {
				name := strings.TrimSuffix(strings.TrimPrefix(aws.ToString(folder.Prefix), prefix), "/")
				if !yield(name, nil) {
					return
				}
			}
		}
	}
}

// pages yields all pages of a listing, or ends with the first error.
func (b *Bucket) pages(ctx context.Context, op, prefix, delimiter, after string) iter.Seq2[*s3.ListObjectsV2Output, error] {
	return func(yield func(*s3.ListObjectsV2Output, error) bool) {
		if err := b.checkPrefix(prefix); err != nil {
			yield(nil, fmt.Errorf("%s: %w", op, err))
			return
		}
		in := &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: &prefix}
		if delimiter != "" {
			in.Delimiter = &delimiter
		}
		if after != "" {
			in.StartAfter = &after
		}
		for {
			page, err := b.listPage(ctx, in)
			if err != nil {
				yield(nil, classify(ctx, op, b.name, err))
				return
			}
			if !yield(page, nil) || !aws.ToBool(page.IsTruncated) || page.NextContinuationToken == nil {
				return
			}
			in.ContinuationToken = page.NextContinuationToken
		}
	}
}

func (b *Bucket) listPage(parent context.Context, in *s3.ListObjectsV2Input) (*s3.ListObjectsV2Output, error) {
	ctx, cancel := bounded(parent)
	defer cancel()
	return b.client.ListObjectsV2(ctx, in)
}

// listOne lists one key. Its error is not classified.
func (b *Bucket) listOne(ctx context.Context) (*s3.ListObjectsV2Output, error) {
	return b.listPage(ctx, &s3.ListObjectsV2Input{Bucket: &b.name, MaxKeys: aws.Int32(1)})
}

// checkAccess reports whether the bucket exists and can be listed. Unlike a HEAD request, the response says what is wrong;
// and without the permission to list, S3 answers 403 for a missing object, so kycq could not work anyway.
func (b *Bucket) checkAccess(ctx context.Context) error {
	_, err := b.listOne(ctx)
	return classify(ctx, "access bucket", b.name, err)
}
