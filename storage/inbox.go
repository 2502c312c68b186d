package storage

import (
	"bytes"
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
	// metaSHA256 is the user metadata that holds an upload's whole hash; its key holds only the first 12 digits.
	metaSHA256 = "kycq-sha256"
	// uploadTag marks what kycq put into the inbox. The lifecycle rule looks for it (lifecycle.go).
	uploadTagKey, uploadTagValue = "kycq", "upload"
)

// UploadImage puts an image into the inbox, under group (a batch id, or SingleGroup) and the job's id. It reads src twice,
// the hash first, and holds none of it. Doing it again with the same bytes costs one request and changes nothing, unless
// half of the inbox lifecycle has passed: then the image is written anew, so that it outlives the job.
func (s *Store) UploadImage(ctx context.Context, group, id string, src io.ReadSeeker) (tasks.Image, error) {
	const op = "upload image"
	head, sum, size, err := hash(src)
	if err != nil {
		return tasks.Image{}, fmt.Errorf("%s: %w", op, err)
	}
	key, err := inboxKey(group, id, sum)
	if err != nil {
		return tasks.Image{}, fmt.Errorf("%s: %w", op, err)
	}
	img := tasks.Image{Bucket: s.cfg.InboxBucket, Key: key, SHA256: sum, Bytes: size, Uploaded: true}
	there, err := s.isUploaded(ctx, op, img)
	if err != nil || there {
		return img, err
	}
	_, err = s.client.PutObject(ctx, &s3.PutObjectInput{ // bounded by stallTimeout, see client.go
		Bucket: &img.Bucket, Key: &img.Key, Body: src, ContentLength: &size, ContentType: aws.String(sniff(head)),
		Metadata: map[string]string{metaSHA256: sum},
		Tagging:  aws.String(uploadTagKey + "=" + uploadTagValue),
	})
	if err != nil {
		return tasks.Image{}, classify(ctx, op, img.Bucket, err)
	}
	return img, nil
}

// hash reads src from its start and rewinds it.
func hash(src io.ReadSeeker) (head []byte, sum string, size int64, err error) {
	if _, err = src.Seek(0, io.SeekStart); err != nil {
		return nil, "", 0, fmt.Errorf("rewind source: %w", err)
	}
	h := sha256.New()
	head = make([]byte, 16)
	n, err := io.ReadFull(src, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, "", 0, fmt.Errorf("read source: %w", err)
	}
	head = head[:n]
	h.Write(head)
	rest, err := io.Copy(h, src)
	if err != nil {
		return nil, "", 0, fmt.Errorf("read source: %w", err)
	}
	if _, err = src.Seek(0, io.SeekStart); err != nil {
		return nil, "", 0, fmt.Errorf("rewind source: %w", err)
	}
	return head, hex.EncodeToString(h.Sum(nil)), int64(n) + rest, nil
}

// sniff knows the two formats that Cashfree takes. Anything else is opaque: a browser that opens the bucket must not run
// what somebody uploaded as HTML or SVG.
func sniff(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xd8\xff")):
		return "image/jpeg"
	case bytes.HasPrefix(head, []byte("\x89PNG\r\n\x1a\n")):
		return "image/png"
	}
	return opaqueType
}

const opaqueType = "application/octet-stream"

// isUploaded tells whether the same bytes lie there already and will for long enough.
func (s *Store) isUploaded(parent context.Context, op string, img tasks.Image) (bool, error) {
	ctx, cancel := context.WithTimeoutCause(parent, callTimeout, errTooSlow)
	defer cancel()
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &img.Bucket, Key: &img.Key})
	if err != nil {
		// HEAD has no body that could tell a missing bucket from a missing key: the PUT will.
		if err = classify(parent, op, img.Bucket, err); errors.Is(err, ErrNotFound) {
			return false, nil
		}
		return false, err
	}
	same := out.Metadata[metaSHA256] == img.SHA256 && aws.ToInt64(out.ContentLength) == img.Bytes
	return same && age(out.ResultMetadata, out.LastModified) < s.cfg.InboxLifecycle/2, nil
}

// DeleteUpload removes an image that kycq itself put into the inbox. It refuses any other: the user's own objects are
// never touched (ErrNotUploaded). One that is not there is removed already.
func (s *Store) DeleteUpload(ctx context.Context, img tasks.Image) error {
	if !img.Uploaded || img.Bucket != s.cfg.InboxBucket || !isUploadKey(img.Key) {
		return fmt.Errorf("delete upload: refused: %w", ErrNotUploaded)
	}
	return s.delete(ctx, "delete upload", img.Bucket, img.Key)
}
