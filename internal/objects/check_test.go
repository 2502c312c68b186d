package objects_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/internal/redact"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
)

func TestCheckWorksInEveryBucketAndLeavesNothing(t *testing.T) {
	t.Parallel()
	server := storagetest.StartMinIO(t)
	for _, check := range server.Store(t).Buckets().Check(t.Context()) {
		if check.Err != nil || check.Public {
			t.Errorf("%+v", check)
		}
		out, err := rawClient(server).ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &check.Bucket})
		if err != nil || len(out.Contents) > 0 {
			t.Errorf("%s holds %d objects, %v", check.Bucket, len(out.Contents), err)
		}
	}
}

// Anonymous read access and anonymous list access are separate grants: each one is found.
func TestCheckFindsAPublicBucket(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"s3:GetObject", "s3:ListBucket", "s3:PutObject", "s3:DeleteObject"} {
		server := storagetest.StartMinIO(t)
		store := server.Store(t)
		masked := store.Config().MaskedBucket
		policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["*"]},"Action":[%q],
			"Resource":["arn:aws:s3:::%s","arn:aws:s3:::%[2]s/*"]}]}`, action, masked)
		if _, err := rawClient(server).PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: &masked, Policy: &policy}); err != nil {
			t.Fatal(err)
		}
		for _, check := range store.Buckets().Check(t.Context()) {
			if check.Err != nil || check.Public != (check.Bucket == masked) {
				t.Errorf("%s: %+v", action, check)
			}
		}
	}
}

func TestCheckSaysWhatDoesNotWork(t *testing.T) {
	t.Parallel()
	server := storagetest.StartFake(t)
	store := server.Store(t)
	if _, err := rawClient(server).DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: &[]string{store.Config().MaskedBucket}[0]}); err != nil {
		t.Fatal(err)
	}
	for _, check := range store.Buckets().Check(t.Context()) {
		if missing := errors.Is(check.Err, objects.ErrNoBucket); missing != (check.Role == "masked") {
			t.Errorf("%+v", check)
		}
	}
	server.Use(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		r.Header.Del("If-None-Match")
		next.ServeHTTP(w, r)
	})
	if check := store.Buckets().Check(t.Context())[0]; !errors.Is(check.Err, objects.ErrNoConditions) {
		t.Errorf("a store without conditions: %+v", check)
	}
	server.Use(storagetest.Down)
	if check := store.Buckets().Check(t.Context())[0]; !errors.Is(check.Err, objects.ErrUnreachable) {
		t.Errorf("a store that is down: %+v", check)
	}
}

func TestClockComparesWithTheStores(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{0, 20 * time.Minute, -20 * time.Minute} {
		server := storagetest.StartFake(t)
		store := server.Store(t)
		server.Advance(-off)
		ahead, err := store.Buckets().Clock(t.Context())
		if err != nil || (ahead-off).Abs() > 3*time.Second {
			t.Errorf("%s off: told %s, %v", off, ahead, err)
		}
	}
}

func TestClockIsToldByARefusalToo(t *testing.T) {
	t.Parallel()
	server := storagetest.StartMinIO(t)
	cfg := server.Config()
	cfg.SecretAccessKey = redact.NewSecret("wrong")
	store, err := storage.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if ahead, err := store.Buckets().Clock(t.Context()); err != nil || ahead.Abs() > 3*time.Second {
		t.Errorf("%s, %v", ahead, err)
	}
}

func TestClockIsNotToldByAStoreThatIsDown(t *testing.T) {
	t.Parallel()
	server := storagetest.StartFake(t)
	store := server.Open(t)
	server.Use(storagetest.Down)
	if _, err := store.Buckets().Clock(t.Context()); !errors.Is(err, objects.ErrUnreachable) {
		t.Error(err)
	}
}
