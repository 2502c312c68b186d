package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/kycq/kycq/internal/objects"
)

// Fence returns a context whose requests the store refuses from 15 minutes after at on, by its own clock and also if this
// process was paused meanwhile.
func Fence(ctx context.Context, at time.Time) context.Context { return objects.Fence(ctx, at) }

// FencedAt returns the time that was given to Fence, for other implementations of a store; ok is false if there is none.
func FencedAt(ctx context.Context) (at time.Time, ok bool) { return objects.FencedAt(ctx) }

// PutMasked stores the masked image of a run, byte for byte. ext is jpg or png, contentType image/jpeg or image/png. The caller
// has checked that the image is masked.
func (s *Store) PutMasked(ctx context.Context, id string, run int, ext, contentType string, body []byte) (bucket, key string, err error) {
	key, err = maskedKey(id, run, ext)
	if err != nil {
		return "", "", fmt.Errorf("put masked image: %w", err)
	}
	if contentType != "image/jpeg" && contentType != "image/png" {
		return "", "", errors.New("put masked image: content type is not image/jpeg or image/png")
	}
	return s.cfg.MaskedBucket, key, s.masked.Put(ctx, key, body, contentType)
}

var errNotMasked = errors.New("read masked image: key is not one of a masked image")

// MaskedLink returns a link with which anybody can read a masked image for the given time: 1 second to 7 days, or until the
// credentials expire.
func (s *Store) MaskedLink(ctx context.Context, key string, life time.Duration) (string, error) {
	switch {
	case !isMaskedKey(key):
		return "", errNotMasked
	case life < time.Second, life > objects.MaxPresign:
		return "", errors.New("the life of a link must be 1s to 168h")
	}
	return s.masked.Presign(ctx, key, life)
}

// Masked reads a masked image by the key in its record. It returns ErrNotFound if there is none.
func (s *Store) Masked(ctx context.Context, key string) ([]byte, error) {
	if !isMaskedKey(key) {
		return nil, errNotMasked
	}
	found, err := s.masked.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	return found.Body, nil
}

// OpenMasked starts the download of a masked image by the key in its record, as OpenImage does for others.
func (s *Store) OpenMasked(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	if !isMaskedKey(key) {
		return nil, 0, errors.New("open masked image: key is not one of a masked image")
	}
	return s.masked.Open(ctx, key)
}

// DeleteMasked deletes the masked images of a job's runs, in either format, with all versions. A missing one is not an error.
// It may return a RemainsError, and so may the other deletions.
func (s *Store) DeleteMasked(ctx context.Context, id string, runs int) error {
	var remains RemainsError
	for run := 0; run <= runs; run++ { // 0: the key without a run
		for _, ext := range []string{"jpg", "png"} {
			key, err := maskedKey(id, run, ext)
			if err != nil {
				return fmt.Errorf("delete masked image: %w", err)
			}
			if err := remains.Take(s.masked.Purge(ctx, key)); err != nil {
				return err
			}
		}
	}
	return remains.Result()
}

// PutQuarantine stores a supposedly masked image that failed the check, for a person to look at. It goes into the inbox
// bucket, where the unmasked images are, and expires like these unless RenewImages renews it.
func (s *Store) PutQuarantine(ctx context.Context, id, contentType string, body []byte) (bucket, key string, err error) {
	key, err = quarantineKey(id)
	if err != nil {
		return "", "", fmt.Errorf("put quarantine: %w", err)
	}
	if contentType != "image/jpeg" && contentType != "image/png" {
		contentType = "application/octet-stream" // a browser must not run it as HTML or SVG
	}
	return s.cfg.InboxBucket, key, s.quarantine.Put(ctx, key, body, contentType)
}

// Quarantined reads the quarantined image of a job. It returns ErrNotFound if there is none.
func (s *Store) Quarantined(ctx context.Context, id string) ([]byte, error) {
	key, err := quarantineKey(id)
	if err != nil {
		return nil, fmt.Errorf("read quarantine: %w", err)
	}
	found, err := s.quarantine.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	return found.Body, nil
}

// QuarantinedIDs lists the jobs with a quarantined image, in the order of their ids.
func (s *Store) QuarantinedIDs(ctx context.Context) iter.Seq2[string, error] {
	return s.QuarantinedIDsAfter(ctx, "")
}

// QuarantinedIDsAfter is QuarantinedIDs for the ids after one.
func (s *Store) QuarantinedIDsAfter(ctx context.Context, id string) iter.Seq2[string, error] {
	after := ""
	if id != "" {
		after = quarantinePrefix + id
	}
	return func(yield func(string, error) bool) {
		for found, err := range s.quarantine.ListAfter(ctx, quarantinePrefix, after) {
			if !yield(strings.TrimPrefix(found.Key, quarantinePrefix), err) || err != nil {
				return
			}
		}
	}
}

// DeleteQuarantine deletes the quarantined image of a job. A missing one is not an error.
func (s *Store) DeleteQuarantine(ctx context.Context, id string) error {
	key, err := quarantineKey(id)
	if err != nil {
		return fmt.Errorf("delete quarantine: %w", err)
	}
	return s.quarantine.Purge(ctx, key)
}

// DeleteImage deletes a masked or quarantined image by the key that its put returned. A missing one is not an error.
func (s *Store) DeleteImage(ctx context.Context, key string) error {
	if strings.HasPrefix(key, quarantinePrefix) {
		return s.quarantine.Purge(ctx, key)
	}
	return s.masked.Purge(ctx, key)
}
