package storage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/tasks"
)

// RenewImages writes uploads and quarantined images again, in place, before the inbox lifecycle deletes them, if an open job, an
// open review or a legal hold needs them. open reports whether a batch has not ended: its rows may have no records yet. It
// returns how many were written.
func (s *Store) RenewImages(ctx context.Context, open func(ctx context.Context, batch string) (bool, error)) (renewed int, err error) {
	var errs []error
	for info, err := range s.uploads.List(ctx, "") {
		if err != nil {
			return renewed, errors.Join(append(errs, fmt.Errorf("renew images: %w", err))...)
		}
		if info.Age < s.cfg.InboxLifecycle/2 {
			continue
		}
		needed, err := s.needed(ctx, info.Key, open)
		if err == nil && needed {
			if err = s.renew(ctx, info.Key); err == nil {
				renewed++
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("renew %s: %w", info.Key, err))
		}
	}
	return renewed, errors.Join(errs...)
}

// imageID returns the folder and the job of an object in the inbox; false if kycq did not write it.
func imageID(key string) (folder, id string, ok bool) {
	if id, found := strings.CutPrefix(key, quarantinePrefix); found {
		return "", id, objects.CheckSegment("verification_id", id) == nil
	}
	m := inboxForm.FindStringSubmatch(key)
	if m == nil || !isUploadKey(key) {
		return "", "", false
	}
	return m[1], m[2], true
}

func (s *Store) needed(ctx context.Context, key string, open func(context.Context, string) (bool, error)) (bool, error) {
	folder, id, ok := imageID(key)
	if !ok {
		return false, nil
	}
	rec, _, err := s.Record(ctx, tasks.Aadhaar, id)
	switch {
	case errors.Is(err, ErrNotFound) && folder != "" && folder != SingleGroup:
		return open(ctx, folder)
	case errors.Is(err, ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	case rec.Erased != nil:
		return false, nil
	case !rec.State.Final() || rec.NeedsReview():
		return true, nil
	}
	hold, err := s.LegalHold(ctx, tasks.Aadhaar, id)
	return hold != nil, err
}

// renew writes an object again, unless it was deleted meanwhile.
func (s *Store) renew(ctx context.Context, key string) error {
	found, err := s.uploads.Get(ctx, key)
	if err == nil {
		err = s.rewrite(ctx, key, found)
	}
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrConflict) {
		return nil
	}
	return err
}

// rewrite writes an object again as it was found. The store refuses that if the object was deleted since.
func (s *Store) rewrite(ctx context.Context, key string, found *objects.Object) error {
	mime := "application/octet-stream" // a browser must not run it as HTML or SVG
	switch {
	case bytes.HasPrefix(found.Body, []byte("\xff\xd8\xff")):
		mime = "image/jpeg"
	case bytes.HasPrefix(found.Body, []byte("\x89PNG\r\n")):
		mime = "image/png"
	}
	sum := sha256.Sum256(found.Body)
	return s.buckets.Upload(ctx, key, objects.Upload{
		Body: bytes.NewReader(found.Body), Size: int64(len(found.Body)), SHA256: hex.EncodeToString(sum[:]), ContentType: mime, IfMatch: found.ETag,
	})
}
