package storage

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// ObjectInfo describes an object in a listing.
type ObjectInfo struct {
	Key      string
	Size     int64
	Modified time.Time
}

// listPage reads one page of a listing within callTimeout.
func (s *Store) listPage(parent context.Context, in *s3.ListObjectsV2Input) (*s3.ListObjectsV2Output, error) {
	ctx, cancel := bounded(parent)
	defer cancel()
	return s.client.ListObjectsV2(ctx, in)
}

// pages yields all pages of a listing, or ends with the first error.
func (s *Store) pages(ctx context.Context, op string, first s3.ListObjectsV2Input) iter.Seq2[*s3.ListObjectsV2Output, error] {
	return func(yield func(*s3.ListObjectsV2Output, error) bool) {
		for in := first; ; {
			page, err := s.listPage(ctx, &in)
			if err != nil {
				yield(nil, classify(ctx, op, *in.Bucket, err))
				return
			}
			if !yield(page, nil) || !aws.ToBool(page.IsTruncated) || page.NextContinuationToken == nil {
				return
			}
			in.ContinuationToken = page.NextContinuationToken
		}
	}
}

// list yields all objects of the records bucket whose keys begin with prefix.
func (s *Store) list(ctx context.Context, op, prefix string) iter.Seq2[ObjectInfo, error] {
	return func(yield func(ObjectInfo, error) bool) {
		for page, err := range s.pages(ctx, op, s3.ListObjectsV2Input{Bucket: &s.cfg.RecordsBucket, Prefix: &prefix}) {
			if err != nil {
				yield(ObjectInfo{}, err)
				return
			}
			for _, o := range page.Contents {
				info := ObjectInfo{Key: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified)}
				if !yield(info, nil) {
					return
				}
			}
		}
	}
}

// List yields the generic objects whose keys begin with prefix, in key order. It ends with the first error.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[ObjectInfo, error] {
	if err := checkObjectPrefix(prefix); err != nil {
		return func(yield func(ObjectInfo, error) bool) { yield(ObjectInfo{}, fmt.Errorf("list objects: %w", err)) }
	}
	return s.list(ctx, "list objects", prefix)
}

// Folders yields the names between prefix ("batches/" or a folder in it, with the slash) and the next slash, without
// listing what is below them. It ends with the first error.
func (s *Store) Folders(ctx context.Context, prefix string) iter.Seq2[string, error] {
	const op = "list folders"
	return func(yield func(string, error) bool) {
		if err := checkObjectPrefix(prefix); err != nil {
			yield("", fmt.Errorf("%s: %w", op, err))
			return
		}
		in := s3.ListObjectsV2Input{Bucket: &s.cfg.RecordsBucket, Prefix: &prefix, Delimiter: aws.String("/")}
		for page, err := range s.pages(ctx, op, in) {
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
