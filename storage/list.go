package storage

import (
	"context"
	"iter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// ObjectInfo is what a listing tells of an object.
type ObjectInfo struct {
	Key      string
	Size     int64
	Modified time.Time
}

// list walks all keys with the prefix, a page of 1,000 at a time, each page within callTimeout.
func (s *Store) list(parent context.Context, op, bucket, prefix string) iter.Seq2[ObjectInfo, error] {
	return func(yield func(ObjectInfo, error) bool) {
		var next *string
		for {
			page, err := s.page(parent, bucket, prefix, next)
			if err != nil {
				yield(ObjectInfo{}, classify(parent, op, bucket, err))
				return
			}
			for _, o := range page.Contents {
				info := ObjectInfo{Key: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified)}
				if !yield(info, nil) {
					return
				}
			}
			if !aws.ToBool(page.IsTruncated) || page.NextContinuationToken == nil {
				return
			}
			next = page.NextContinuationToken
		}
	}
}

func (s *Store) page(parent context.Context, bucket, prefix string, next *string) (*s3.ListObjectsV2Output, error) {
	ctx, cancel := context.WithTimeoutCause(parent, callTimeout, errTooSlow)
	defer cancel()
	return s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix, ContinuationToken: next})
}
