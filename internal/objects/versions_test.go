package objects_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/storage/storagetest"
)

// versioned returns the inbox bucket of a real server with the given versioning: Enabled, Suspended, GOVERNANCE or COMPLIANCE.
func versioned(t *testing.T, mode string) (*objects.Bucket, *s3.Client) {
	t.Helper()
	server := storagetest.StartMinIO(t)
	raw, name := rawClient(server), server.Config().InboxBucket
	locked := mode == "GOVERNANCE" || mode == "COMPLIANCE"
	if locked {
		lockBucket(t, raw, name)
	}
	b := server.Store(t).Buckets().Inbox
	if locked {
		retain(t, raw, name, mode)
		return b, raw
	}
	setVersioning(t, raw, name, "Enabled")
	put(t, b, "single/x", "first")
	setVersioning(t, raw, name, mode)
	return b, raw
}

// lockBucket creates a bucket with object lock.
func lockBucket(t *testing.T, raw *s3.Client, name string) {
	t.Helper()
	if _, err := raw.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name, ObjectLockEnabledForBucket: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
}

// retain sets a default retention of one day.
func retain(t *testing.T, raw *s3.Client, name, mode string) {
	t.Helper()
	_, err := raw.PutObjectLockConfiguration(t.Context(), &s3.PutObjectLockConfigurationInput{
		Bucket: &name, ObjectLockConfiguration: &types.ObjectLockConfiguration{
			ObjectLockEnabled: types.ObjectLockEnabledEnabled, Rule: &types.ObjectLockRule{DefaultRetention: &types.DefaultRetention{
				Days: aws.Int32(1), Mode: types.ObjectLockRetentionMode(mode),
			}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func setVersioning(t *testing.T, raw *s3.Client, bucket, status string) {
	t.Helper()
	_, err := raw.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket: &bucket, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatus(status)},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, b *objects.Bucket, key, body string) {
	t.Helper()
	if err := b.Put(t.Context(), key, []byte(body), "text/plain"); err != nil {
		t.Fatal(err)
	}
}

// entries counts the versions and delete markers of a key.
func entries(t *testing.T, raw *s3.Client, bucket, key string) (versions, markers int) {
	t.Helper()
	out, err := raw.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: &bucket, Prefix: &key})
	if err != nil {
		t.Fatal(err)
	}
	return len(out.Versions), len(out.DeleteMarkers)
}

func TestPurgeLeavesNoVersion(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"Enabled", "Suspended"} {
		b, raw := versioned(t, mode)
		put(t, b, "single/x", "second")
		if err := b.Delete(t.Context(), "single/x"); err != nil {
			t.Fatal(err)
		}
		if versions, _ := entries(t, raw, b.Name(), "single/x"); versions == 0 {
			t.Fatalf("%s: a plain delete leaves no version: the test shows nothing", mode)
		}
		put(t, b, "single/xy", "another")
		for range 2 {
			if err := b.Purge(t.Context(), "single/x"); err != nil {
				t.Fatal(err)
			}
		}
		if versions, markers := entries(t, raw, b.Name(), "single/x"); versions != 1 || markers != 0 {
			t.Errorf("%s: %d versions and %d markers, want that of single/xy alone", mode, versions, markers)
		}
	}
}

func TestPurgeNoticesThatVersionsWereEnabledSince(t *testing.T) {
	t.Parallel()
	server := storagetest.StartMinIO(t)
	raw, name := rawClient(server), server.Config().InboxBucket
	b := server.Store(t).Buckets().Inbox
	for _, status := range []string{"", "Enabled"} {
		if status != "" {
			setVersioning(t, raw, name, status)
		}
		put(t, b, "single/x", "first")
		put(t, b, "single/x", "second")
		if err := b.Purge(t.Context(), "single/x"); err != nil {
			t.Fatal(err)
		}
		if versions, markers := entries(t, raw, name, "single/x"); versions+markers > 0 {
			t.Errorf("versioning %q: %d versions and %d markers are left", status, versions, markers)
		}
	}
}

func TestPurgeOldKeepsTheCurrentVersion(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"Enabled", "Suspended"} {
		b, raw := versioned(t, mode)
		put(t, b, "single/x", "second")
		put(t, b, "single/x", "third")
		if err := b.PurgeOld(t.Context(), "single/x"); err != nil {
			t.Fatal(err)
		}
		found, err := b.Get(t.Context(), "single/x")
		if versions, _ := entries(t, raw, b.Name(), "single/x"); err != nil || string(found.Body) != "third" || versions != 1 {
			t.Errorf("%s: %d versions, %v", mode, versions, err)
		}
	}
}

func TestPurgeInAPlainBucketKeepsNothingAndPurgeOldAll(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		b := server.Store(t).Buckets().Inbox
		put(t, b, "single/x", "1")
		if err := b.PurgeOld(t.Context(), "single/x"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Get(t.Context(), "single/x"); err != nil {
			t.Fatal(err)
		}
		if err := b.Purge(t.Context(), "single/x"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Get(t.Context(), "single/x"); !errors.Is(err, objects.ErrNotFound) {
			t.Error(err)
		}
	})
}

func TestPurgeNamesWhatObjectLockKeepsAndUntilWhen(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"GOVERNANCE", "COMPLIANCE"} {
		b, _ := versioned(t, mode)
		put(t, b, "single/x", "1")
		put(t, b, "single/x", "2")
		err := b.Purge(t.Context(), "single/x")
		var remains *objects.RemainsError
		if !errors.As(err, &remains) || remains.Err != nil || len(remains.Remnants) != 2 {
			t.Fatalf("%s: %v", mode, err)
		}
		left := remains.Remnants[0]
		if until := time.Until(left.Until); left.Mode != mode || left.Key != "single/x" || until < 23*time.Hour || until > 25*time.Hour {
			t.Errorf("%+v", left)
		}
		if _, err := b.Get(t.Context(), "single/x"); !errors.Is(err, objects.ErrNotFound) {
			t.Errorf("%s: the object is still there: %v", mode, err)
		}
	}
}

// Credentials without the permission to list versions are no problem in a plain bucket, and are named in one with versions.
func TestPurgeWithoutTheListOfVersions(t *testing.T) {
	t.Parallel()
	server := storagetest.StartFake(t)
	b := server.Store(t).Buckets().Inbox
	marked := false
	server.Use(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Query().Has("versions") {
			refuse(w, http.StatusForbidden, "AccessDenied")
			return
		}
		if marked && r.Method == http.MethodDelete {
			w.Header().Set("X-Amz-Delete-Marker", "true")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
	if err := b.Purge(t.Context(), "single/x"); err != nil {
		t.Error(err)
	}
	marked = true
	var remains *objects.RemainsError
	if err := b.Purge(t.Context(), "single/x"); !errors.As(err, &remains) || !errors.Is(err, objects.ErrDenied) {
		t.Errorf("got %v, want a RemainsError that is ErrDenied", err)
	}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	_, _ = w.Write([]byte("<Error><Code>" + code + "</Code></Error>"))
}

func TestCheckNamesVersioningLockAndLifecycle(t *testing.T) {
	t.Parallel()
	server := storagetest.StartMinIO(t)
	raw, cfg := rawClient(server), server.Config()
	lockBucket(t, raw, cfg.InboxBucket)
	buckets := server.Store(t).Buckets()
	retain(t, raw, cfg.InboxBucket, "COMPLIANCE")
	setVersioning(t, raw, cfg.MaskedBucket, "Suspended")
	_, err := raw.PutBucketLifecycleConfiguration(t.Context(), &s3.PutBucketLifecycleConfigurationInput{
		Bucket: &cfg.RecordsBucket, LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{{
			ID: aws.String("tidy"), Status: types.ExpirationStatusEnabled, Filter: &types.LifecycleRuleFilter{Prefix: aws.String("")},
			Expiration: &types.LifecycleExpiration{Days: aws.Int32(30)},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	checks := buckets.Check(t.Context())
	for i, want := range []struct{ text, warning string }{
		{"versioning Enabled; object lock (COMPLIANCE 1 days); lifecycle rules kycq-inbox-uploads, kycq-quarantine", "remove the default retention"},
		{"versioning Suspended; no object lock; no lifecycle rules", ""},
		{"versioning off; no object lock; lifecycle rules tidy", "lifecycle rule tidy deletes records"},
	} {
		got := checks[i]
		if got.Err != nil || got.Retention.String() != want.text || (want.warning == "") != (len(got.Retention.Warnings) == 0) ||
			!strings.Contains(fmt.Sprint(got.Retention.Warnings), want.warning) {
			t.Errorf("%s: %v, %s, warnings %q", got.Role, got.Err, got.Retention, got.Retention.Warnings)
		}
	}
}
