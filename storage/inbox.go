package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/tasks"
)

// UploadImage stores an Aadhaar image in the inbox, under group (a batch id, or SingleGroup) and the job's id, for use as
// a job's input. src is read twice and not held in memory. Uploading the same bytes again writes nothing, unless half of
// the inbox lifecycle has passed: then the image is written again, so that it outlives the job.
//
// An image that a worker would refuse is refused before anything is written: a PDF or another format than JPEG and PNG, an
// empty, too large or damaged image. The error then wraps a *tasks.InvalidError.
func (s *Store) UploadImage(ctx context.Context, group, id string, src io.ReadSeeker) (tasks.Image, error) {
	const op = "upload image"
	info, size, err := tasks.ValidateImageFile(src)
	if err != nil {
		return tasks.Image{}, fmt.Errorf("%s: %w", op, err)
	}
	sum, err := hash(src, size)
	if err != nil {
		return tasks.Image{}, fmt.Errorf("%s: %w", op, err)
	}
	key, err := inboxKey(group, id, sum)
	if err != nil {
		return tasks.Image{}, fmt.Errorf("%s: %w", op, err)
	}
	img := tasks.Image{Bucket: s.cfg.InboxBucket, Key: key, SHA256: sum, Bytes: size, Uploaded: true}
	if err := s.buckets.Upload(ctx, key, objects.Upload{Body: src, Size: size, SHA256: sum, ContentType: info.ContentType}); err != nil {
		return tasks.Image{}, err
	}
	return img, nil
}

// hash reads src from its start, and rewinds it.
func hash(src io.ReadSeeker, size int64) (sum string, err error) {
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("rewind source: %w", err)
	}
	h := sha256.New()
	if _, err := io.CopyN(h, src, size); err != nil {
		return "", fmt.Errorf("read source: %w", err)
	}
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("rewind source: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// DeleteUpload deletes an image that UploadImage stored, with all versions. It refuses any other object with ErrNotUploaded.
// Deleting a missing one is not an error. It may return a RemainsError.
func (s *Store) DeleteUpload(ctx context.Context, img tasks.Image) error {
	if !img.Uploaded || img.Bucket != s.cfg.InboxBucket || !isUploadKey(img.Key) {
		return fmt.Errorf("delete upload: refused: %w", ErrNotUploaded)
	}
	return s.uploads.Purge(ctx, img.Key)
}

// ImageHead reads the first n bytes of an image, or all if it is shorter, and its size with one ranged request. Errors:
// ErrNotFound, ErrNoBucket, those of CheckImage.
func (s *Store) ImageHead(ctx context.Context, img tasks.Image, n int64) (head []byte, size int64, err error) {
	if err := s.checkPlace(img); err != nil {
		return nil, 0, fmt.Errorf("read image head: %w", err)
	}
	return s.buckets.Bucket(img.Bucket, "image").Head(ctx, img.Key, n)
}

// OpenImage starts a download and returns its body, which it does not buffer, and its size. Read returns an error if the
// body breaks off or makes no progress for ten seconds. The caller closes the body; ctx must live until then. Errors:
// ErrNotFound, ErrNoBucket, those of CheckImage.
func (s *Store) OpenImage(ctx context.Context, img tasks.Image) (io.ReadCloser, int64, error) {
	if err := s.checkPlace(img); err != nil {
		return nil, 0, fmt.Errorf("open image: %w", err)
	}
	return s.buckets.Bucket(img.Bucket, "image").Open(ctx, img.Key)
}
