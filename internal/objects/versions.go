package objects

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Remnant is a version of a deleted object that the store still has.
type Remnant struct {
	Bucket, Key, VersionID string
	// Mode is GOVERNANCE or COMPLIANCE, and Until when the retention ends; empty and zero without a retention.
	Mode  string
	Until time.Time
	// LegalHold is true if the version cannot be deleted before the hold is removed.
	LegalHold bool
}

func (r Remnant) String() string {
	text := fmt.Sprintf("%s/%s version %s", r.Bucket, r.Key, r.VersionID)
	if r.Mode != "" {
		text += fmt.Sprintf(" (%s until %s)", r.Mode, r.Until.UTC().Format(time.RFC3339))
	}
	if r.LegalHold {
		text += " (legal hold)"
	}
	return text
}

// RemainsError says that objects are deleted, but that versions of them remain. The zero value collects such errors.
type RemainsError struct {
	Remnants []Remnant
	// Err is why versions could not be listed or deleted; nil if object lock keeps all of them.
	Err error
}

func (e *RemainsError) Error() string {
	text := fmt.Sprintf("%d versions of deleted objects remain", len(e.Remnants))
	if e.Err != nil {
		return "old versions of deleted objects may remain: " + e.Err.Error()
	}
	if len(e.Remnants) > 0 {
		text += ", for example " + e.Remnants[0].String()
	}
	return text
}

// Unwrap returns Err.
func (e *RemainsError) Unwrap() error { return e.Err }

// Take adds a RemainsError and returns nil; it returns any other error.
func (e *RemainsError) Take(err error) error {
	var remains *RemainsError
	if !errors.As(err, &remains) {
		return err
	}
	e.Remnants, e.Err = append(e.Remnants, remains.Remnants...), errors.Join(e.Err, remains.Err)
	return nil
}

// Result returns the collected errors as one, or nil.
func (e *RemainsError) Result() error {
	if len(e.Remnants) == 0 && e.Err == nil {
		return nil
	}
	return e
}

// Purge deletes an object and, in a bucket with versions, every version and delete marker of it. A missing one is not an
// error. If the object is deleted but versions remain, it returns a RemainsError.
func (b *Bucket) Purge(ctx context.Context, key string) error {
	versioned, err := b.remove(ctx, key)
	if err != nil {
		return err
	}
	return b.purgeVersions(ctx, key, versioned)
}

// PurgeOld deletes the versions of an object but the current one. It may return a RemainsError.
func (b *Bucket) PurgeOld(ctx context.Context, key string) error {
	if err := b.checkKey(key); err != nil {
		return fmt.Errorf("purge %s: %w", b.noun, err)
	}
	found, err := b.stat(ctx, callTimeout, key)
	if err != nil {
		return classify(ctx, "purge "+b.noun, b.name, err)
	}
	return b.purgeVersions(ctx, key, found.VersionId != nil)
}

// purgeVersions deletes the versions of a key but an object that is the latest, which was read or written since. The latest
// delete marker goes last, and only if no version is left, which would become the current one. versioned says that the store
// has told of a version of the key: then a refused listing hides something. A store without versions may refuse it, too.
func (b *Bucket) purgeVersions(ctx context.Context, key string, versioned bool) error {
	op := "purge " + b.noun
	if !versioned && b.neverVersioned(ctx) {
		return nil
	}
	found, err := b.versions(ctx, key)
	if status, _ := answerOf(err); err != nil {
		err = classify(ctx, op, b.name, err)
		switch {
		case status == 0, status >= http.StatusInternalServerError && status != http.StatusNotImplemented:
			return err
		case versioned:
			return &RemainsError{Err: err}
		}
		return nil
	}
	var latest []version
	var remains RemainsError
	for _, v := range found {
		if v.latest {
			latest = append(latest, v)
		}
	}
	if len(latest) > 1 || len(latest) == 0 && len(found) > 0 { // never delete a record for it
		return &RemainsError{Err: errors.New(op + ": the store does not say which version is the latest")}
	}
	for _, v := range found {
		if !v.latest {
			if err := remains.Take(b.deleteVersion(ctx, op, key, v.id)); err != nil {
				return err
			}
		}
	}
	if len(latest) == 1 && latest[0].marker && remains.Result() == nil {
		return b.deleteVersion(ctx, op, key, latest[0].id)
	}
	return remains.Result()
}

// neverVersioned reports whether the bucket had no versions when it was first asked. Where they were enabled since, the store
// tells of the version when it deletes a key.
func (b *Bucket) neverVersioned(parent context.Context) bool {
	if _, known := b.client.plain.Load(b.name); known {
		return true
	}
	ctx, cancel := bounded(parent)
	defer cancel()
	out, err := b.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &b.name})
	if err != nil || out.Status != "" {
		return false
	}
	b.client.plain.Store(b.name, true)
	return true
}

type version struct {
	id             *string
	marker, latest bool
}

// versions lists the versions and delete markers of a key. Its error is not classified.
func (b *Bucket) versions(parent context.Context, key string) (found []version, err error) {
	in := &s3.ListObjectVersionsInput{Bucket: &b.name, Prefix: &key}
	for {
		ctx, cancel := bounded(parent)
		page, err := b.client.ListObjectVersions(ctx, in)
		cancel()
		if err != nil {
			return nil, err
		}
		for _, v := range page.Versions {
			if aws.ToString(v.Key) == key {
				found = append(found, version{v.VersionId, false, aws.ToBool(v.IsLatest)})
			}
		}
		for _, m := range page.DeleteMarkers {
			if aws.ToString(m.Key) == key {
				found = append(found, version{m.VersionId, true, aws.ToBool(m.IsLatest)})
			}
		}
		// The key is the first of those that begin with it.
		if !aws.ToBool(page.IsTruncated) || aws.ToString(page.NextKeyMarker) != key {
			return found, nil
		}
		in.KeyMarker, in.VersionIdMarker = page.NextKeyMarker, page.NextVersionIdMarker
	}
}

// deleteVersion returns a RemainsError if the store refuses to delete the version. The refusal of a locked version has no code
// of its own, so the version is asked for its lock.
func (b *Bucket) deleteVersion(parent context.Context, op, key string, version *string) error {
	ctx, cancel := bounded(parent)
	defer cancel()
	_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: &key, VersionId: version})
	status, _ := answerOf(err)
	err = classify(parent, op, b.name, err)
	switch {
	case err == nil, errors.Is(err, ErrNotFound):
		return nil
	case status < http.StatusBadRequest || status >= http.StatusInternalServerError:
		return err
	}
	left := Remnant{Bucket: b.name, Key: key, VersionID: aws.ToString(version)}
	if lock, headErr := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: &key, VersionId: version}); headErr == nil {
		left.Mode, left.Until = string(lock.ObjectLockMode), aws.ToTime(lock.ObjectLockRetainUntilDate)
		left.LegalHold = lock.ObjectLockLegalHoldStatus == types.ObjectLockLegalHoldStatusOn
	}
	remains := &RemainsError{Remnants: []Remnant{left}}
	if left.Mode == "" && !left.LegalHold {
		remains.Err = fmt.Errorf("%w (old versions need s3:ListBucketVersions and s3:DeleteObjectVersion)", err)
	}
	return remains
}
