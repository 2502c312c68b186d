package storage_test

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
	"github.com/kycq/kycq/tasks"
)

// A refusal comes before the store is asked, so it does not tell whether an object exists.
func TestImagesComeFromListedPlacesOnly(t *testing.T) {
	t.Parallel()
	server := storagetest.StartFake(t)
	cfg := server.Config()
	cfg.ImageBuckets = []string{"cards", "mixed/aadhaar/", "deep/a/b"}
	server.Store(t)
	store, err := storage.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var requests atomic.Int64
	server.Use(storagetest.Count(&requests, func(*http.Request) bool { return true }))
	inbox := cfg.InboxBucket
	for _, c := range []struct {
		img     tasks.Image
		allowed bool
	}{
		{tasks.Image{Bucket: "cards", Key: "a.png"}, true},
		{tasks.Image{Bucket: "cards", Key: "x/y/a.png"}, true},
		{tasks.Image{Bucket: "mixed", Key: "aadhaar/a.png"}, true},
		{tasks.Image{Bucket: "deep", Key: "a/b/a.png"}, true},
		{tasks.Image{Bucket: inbox, Key: "single/A.0123456789ab", Uploaded: true}, true},
		{tasks.Image{Bucket: "mixed", Key: "aadhaar"}, false},
		{tasks.Image{Bucket: "mixed", Key: "aadhaar-private/a.png"}, false},
		{tasks.Image{Bucket: "mixed", Key: "aadhaar/../private/a.png"}, false},
		{tasks.Image{Bucket: "deep", Key: "a/a.png"}, false},
		{tasks.Image{Bucket: "card", Key: "a.png"}, false},
		{tasks.Image{Bucket: "cards2", Key: "a.png"}, false},
		{tasks.Image{Bucket: inbox, Key: "single/A.0123456789ab"}, false},
		{tasks.Image{Bucket: inbox, Key: "single/B.0123456789ab", Uploaded: true}, false},
		{tasks.Image{Bucket: inbox, Key: "quarantine/A.0123456789ab", Uploaded: true}, false},
		{tasks.Image{Bucket: "cards", Key: "single/A.0123456789ab", Uploaded: true}, false},
		{tasks.Image{Bucket: cfg.MaskedBucket, Key: "masked/A/1.png"}, false},
		{tasks.Image{Bucket: cfg.RecordsBucket, Key: "records/passport/A.json"}, false},
	} {
		var invalid *tasks.InvalidError
		if err := store.CheckImage("A", c.img); c.allowed != (err == nil) || err != nil && !errors.As(err, &invalid) {
			t.Errorf("%+v: %v", c.img, err)
		}
		if c.img.Key == "single/B.0123456789ab" || c.allowed {
			continue // reads do not know the job
		}
		if _, _, err := store.ImageHead(t.Context(), c.img, 10); !errors.As(err, &invalid) || invalid.Code != "image_place_refused" {
			t.Errorf("read the head of %+v: %v", c.img, err)
		}
		if _, _, err := store.OpenImage(t.Context(), c.img); !errors.As(err, &invalid) {
			t.Errorf("open %+v: %v", c.img, err)
		}
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests for refused images", n)
	}
	for _, place := range []string{inbox, cfg.MaskedBucket + "/x", "s3://cards", "Cards", ""} {
		cfg.ImageBuckets = []string{place}
		if _, err := storage.Open(t.Context(), cfg); err == nil {
			t.Errorf("the place %q is taken", place)
		}
	}
}
