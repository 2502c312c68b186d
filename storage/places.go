package storage

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kycq/kycq/internal/forms"
	"github.com/kycq/kycq/tasks"
)

// CheckImage returns a *tasks.InvalidError if a job with this id must not use the image: an upload that is not the id's own, an
// object in one of kycq's buckets, or one outside of Config.ImageBuckets. It does not look whether the object exists.
func (s *Store) CheckImage(id string, img tasks.Image) error {
	if err := s.checkPlace(img); err != nil {
		return err
	}
	if img.Uploaded && inboxForm.FindStringSubmatch(img.Key)[2] != id {
		return refusedPlace("is the upload of another job")
	}
	return nil
}

// checkPlace is CheckImage without the id, for all reads.
func (s *Store) checkPlace(img tasks.Image) error {
	if err := img.Validate(); err != nil {
		return err
	}
	own := slices.Contains([]string{s.cfg.InboxBucket, s.cfg.MaskedBucket, s.cfg.RecordsBucket}, img.Bucket)
	switch {
	case img.Uploaded && (img.Bucket != s.cfg.InboxBucket || !isUploadKey(img.Key)):
		return refusedPlace("is not an upload in the inbox bucket")
	case img.Uploaded:
		return nil
	case own:
		return refusedPlace("is in a bucket of kycq's own")
	case !slices.ContainsFunc(s.cfg.ImageBuckets, func(place string) bool { return covers(place, img) }):
		return refusedPlace("is in a place that KYCQ_IMAGE_BUCKETS does not list")
	}
	return nil
}

func refusedPlace(why string) error {
	return &tasks.InvalidError{Field: "image", Code: "image_place_refused", Message: why}
}

// covers reports whether a bucket, or a bucket with a folder, holds the image.
func covers(place string, img tasks.Image) bool {
	bucket, folder, _ := strings.Cut(strings.TrimRight(place, "/"), "/")
	inside := folder == "" || strings.HasPrefix(img.Key, folder+"/")
	return bucket == img.Bucket && inside && !slices.Contains(strings.Split(img.Key, "/"), "..")
}

func (c Config) checkPlaces() error {
	for _, place := range c.ImageBuckets {
		bucket, _, _ := strings.Cut(place, "/")
		switch bucket {
		case c.InboxBucket, c.MaskedBucket, c.RecordsBucket:
			return fmt.Errorf("storage: image buckets (KYCQ_IMAGE_BUCKETS): %s is a bucket of kycq's own", bucket)
		}
		if !forms.IsBucket(bucket) {
			return fmt.Errorf("storage: image buckets (KYCQ_IMAGE_BUCKETS): %q: want bucket or bucket/folder, and as the bucket %s", place, forms.BucketRule)
		}
	}
	return nil
}
