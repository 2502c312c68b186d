package storage

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Folders lists the names between prefix ("batches/" or a folder in it, with the slash) and the next slash, without
// reading what lies in them. It ends with the first error.
func (s *Store) Folders(ctx context.Context, prefix string) iter.Seq2[string, error] {
	const op = "list folders"
	return func(yield func(string, error) bool) {
		if err := checkObjectPrefix(prefix); err != nil {
			yield("", fmt.Errorf("%s: %w", op, err))
			return
		}
		var next *string
		for {
			page, err := s.folderPage(ctx, prefix, next)
			if err != nil {
				yield("", classify(ctx, op, s.cfg.RecordsBucket, err))
				return
			}
			for _, folder := range page.CommonPrefixes {
				name := strings.TrimSuffix(strings.TrimPrefix(aws.ToString(folder.Prefix), prefix), "/")
				if !yield(name, nil) {
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

func (s *Store) folderPage(parent context.Context, prefix string, next *string) (*s3.ListObjectsV2Output, error) {
	ctx, cancel := context.WithTimeoutCause(parent, callTimeout, errTooSlow)
	defer cancel()
	return s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
		Bucket: &s.cfg.RecordsBucket, Prefix: &prefix, Delimiter: aws.String("/"), ContinuationToken: next,
	})
}
