package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/kycq/kycq/tasks"
)

const (
	// metaSHA256 is the user metadata with an upload's whole hash; its key holds only the first 12 digits.
	metaSHA256 = "kycq-sha256"
	// The upload tag marks objects that kycq put into the inbox. The lifecycle rule (lifecycle.go) selects by it.
	uploadTagKey, uploadTagValue = "kycq", "upload"
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
	exists, err := s.isUploaded(ctx, op, img)
	if err != nil || exists {
		return img, err
	}
	_, err = s.client.PutObject(ctx, &s3.PutObjectInput{ // bounded by stallTimeout, see client.go
		Bucket: &img.Bucket, Key: &img.Key, Body: src, ContentLength: &size, ContentType: &info.ContentType,
		Metadata: map[string]string{metaSHA256: sum},
		Tagging:  aws.String(uploadTagKey + "=" + uploadTagValue),
	})
	if err != nil {
		return tasks.Image{}, classify(ctx, op, img.Bucket, err)
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

// isUploaded reports whether the same bytes are stored already and will be for long enough.
func (s *Store) isUploaded(parent context.Context, op string, img tasks.Image) (bool, error) {
	ctx, cancel := bounded(parent)
	defer cancel()
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &img.Bucket, Key: &img.Key})
	if err != nil {
		// HEAD has no body that tells a missing bucket from a missing key: the PUT will.
		if err = classify(parent, op, img.Bucket, err); errors.Is(err, ErrNotFound) {
			return false, nil
		}
		return false, err
	}
	same := out.Metadata[metaSHA256] == img.SHA256 && aws.ToInt64(out.ContentLength) == img.Bytes
	return same && age(out.ResultMetadata, out.LastModified) < s.cfg.InboxLifecycle/2, nil
}

// DeleteUpload deletes an image that UploadImage stored. It refuses any other object with ErrNotUploaded. Deleting a
// missing one is not an error.
func (s *Store) DeleteUpload(ctx context.Context, img tasks.Image) error {
	if !img.Uploaded || img.Bucket != s.cfg.InboxBucket || !isUploadKey(img.Key) {
		return fmt.Errorf("delete upload: refused: %w", ErrNotUploaded)
	}
	return s.delete(ctx, "delete upload", img.Bucket, img.Key)
}
