package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Object is an object of a bucket with its metadata.
type Object struct {
	Bucket, Key string
	Metadata    map[string]string // headers, user metadata, and tags
	Body        []byte
}

// Objects reads all objects of the three buckets into memory.
func (s *Server) Objects(ctx context.Context) ([]Object, error) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := s.raw(s.config.Endpoint, transport)
	var all []Object
	for _, bucket := range s.buckets() {
		pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, fmt.Errorf("list bucket %s: %w", bucket, err)
			}
			for _, found := range page.Contents {
				o, err := readObject(ctx, client, bucket, aws.ToString(found.Key))
				if gone := (*types.NoSuchKey)(nil); errors.As(err, &gone) { // deleted since it was listed
					continue
				}
				if err != nil {
					return nil, fmt.Errorf("read %s/%s: %w", bucket, aws.ToString(found.Key), err)
				}
				all = append(all, o)
			}
		}
	}
	return all, nil
}

// PutUserImage puts an object into a bucket of the user's, which it creates and lists in Config.ImageBuckets. Call it before
// Store. It returns the bucket's name.
func (s *Server) PutUserImage(t testing.TB, key string, body []byte) (bucket string) {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := s.raw(s.config.Endpoint, transport)
	bucket = s.config.RecordsBucket + "-user"
	if !slices.Contains(s.config.ImageBuckets, bucket) {
		if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
			t.Fatalf("create the user's bucket: %v", err)
		}
		s.config.ImageBuckets = append(s.config.ImageBuckets, bucket)
	}
	if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(body)}); err != nil {
		t.Fatalf("put the user's image: %v", err)
	}
	return bucket
}

func readObject(ctx context.Context, client *s3.Client, bucket, key string) (Object, error) {
	out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return Object{}, err
	}
	defer out.Body.Close()
	o := Object{Bucket: bucket, Key: key, Metadata: maps.Clone(out.Metadata)}
	if o.Metadata == nil {
		o.Metadata = map[string]string{}
	}
	for name, value := range map[string]*string{
		"Content-Type": out.ContentType, "Content-Disposition": out.ContentDisposition, "Content-Encoding": out.ContentEncoding,
		"Content-Language": out.ContentLanguage, "Cache-Control": out.CacheControl,
	} {
		if value != nil {
			o.Metadata[name] = *value
		}
	}
	if o.Body, err = io.ReadAll(out.Body); err != nil {
		return Object{}, err
	}
	if aws.ToInt32(out.TagCount) == 0 { // the fake has no tags
		return o, nil
	}
	tags, err := client.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return Object{}, err
	}
	for _, tag := range tags.TagSet {
		o.Metadata["tag "+aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return o, nil
}
