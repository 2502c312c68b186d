package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// maxMasked is above the 20 MB at which the fetch of an image_link ends.
const maxMasked = 32 << 20

// PutMasked stores a masked image, byte for byte, as image/jpeg or image/png. ext is jpg or png. Whoever calls has proved
// that it is masked.
func (s *Store) PutMasked(ctx context.Context, id, ext, contentType string, body []byte) (bucket, key string, err error) {
	key, err = maskedKey(id, ext)
	if err != nil {
		return "", "", fmt.Errorf("put masked image: %w", err)
	}
	if contentType != "image/jpeg" && contentType != "image/png" {
		return "", "", errors.New("put masked image: content type is not image/jpeg or image/png")
	}
	bucket = s.cfg.MaskedBucket
	in := &s3.PutObjectInput{Bucket: &bucket, Key: &key, ContentType: &contentType}
	return bucket, key, s.overwrite(ctx, "put masked image", in, body)
}

// Masked reads a masked image by the key in its record. It returns ErrNotFound where there is none.
func (s *Store) Masked(ctx context.Context, key string) ([]byte, error) {
	if !isMaskedKey(key) {
		return nil, errors.New("read masked image: key is not one of a masked image")
	}
	found, err := s.get(ctx, "read masked image", s.cfg.MaskedBucket, key, maxMasked)
	if err != nil {
		return nil, err
	}
	return found.body, nil
}

// DeleteMasked removes a job's masked image, in either format; one that is not there is removed already.
func (s *Store) DeleteMasked(ctx context.Context, id string) error {
	for _, ext := range []string{"jpg", "png"} {
		key, err := maskedKey(id, ext)
		if err != nil {
			return fmt.Errorf("delete masked image: %w", err)
		}
		if err := s.delete(ctx, "delete masked image", s.cfg.MaskedBucket, key); err != nil {
			return err
		}
	}
	return nil
}

// PutQuarantine keeps what claims to be a masked image and is not safe, for a person to look at. It lies in the inbox
// bucket, with the unmasked images, and outside of the inbox lifecycle: it carries no upload tag.
func (s *Store) PutQuarantine(ctx context.Context, id, contentType string, body []byte) (bucket, key string, err error) {
	key, err = quarantineKey(id)
	if err != nil {
		return "", "", fmt.Errorf("put quarantine: %w", err)
	}
	if contentType != "image/jpeg" && contentType != "image/png" {
		contentType = "application/octet-stream" // a browser must not run it as HTML or SVG
	}
	bucket = s.cfg.InboxBucket
	in := &s3.PutObjectInput{Bucket: &bucket, Key: &key, ContentType: &contentType}
	return bucket, key, s.overwrite(ctx, "put quarantine", in, body)
}

// DeleteQuarantine removes what PutQuarantine kept of a job; where there is nothing, it is removed already.
func (s *Store) DeleteQuarantine(ctx context.Context, id string) error {
	key, err := quarantineKey(id)
	if err != nil {
		return fmt.Errorf("delete quarantine: %w", err)
	}
	return s.delete(ctx, "delete quarantine", s.cfg.InboxBucket, key)
}
