package storage_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"image"
	"image/jpeg"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
	"github.com/kycq/kycq/tasks"
)

func TestAnUploadIsNamedByItsContentAndReadsBack(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		for name, body := range map[string][]byte{"small": specimenPNG(800), "10 MB": specimenPNG(tasks.MaxImageBytes)} {
			sum := sha256.Sum256(body)
			digest := hex.EncodeToString(sum[:])
			want := tasks.Image{
				Bucket: server.Config().InboxBucket, Key: "single/IMG-1." + digest[:12],
				SHA256: digest, Bytes: int64(len(body)), Uploaded: true,
			}
			got, err := store.UploadImage(t.Context(), storage.SingleGroup, "IMG-1", bytes.NewReader(body))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			assertContent(t, store, got, body)
		}
	})
}

func assertContent(t *testing.T, store *storage.Store, img tasks.Image, want []byte) {
	t.Helper()
	src, size, err := store.OpenImage(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	got, err := io.ReadAll(src)
	if err != nil || size != int64(len(want)) || !bytes.Equal(got, want) {
		t.Errorf("read %d of %d bytes (%v), want the %d that were uploaded", len(got), size, err, len(want))
	}
	head, size, err := store.ImageHead(t.Context(), img, 64<<10)
	if err != nil || size != int64(len(want)) || !bytes.Equal(head, want[:min(len(want), 64<<10)]) {
		t.Errorf("head: %d bytes of %d, %v", len(head), size, err)
	}
}

func TestAnUploadHasTheTypeOfItsContent(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		var card bytes.Buffer
		if err := jpeg.Encode(&card, image.NewGray(image.Rect(0, 0, 30, 20)), nil); err != nil {
			t.Fatal(err)
		}
		// EXIF blocks before the dimensions, longer than one look at the head
		long := slices.Concat([]byte("\xff\xd8"), bytes.Repeat(append([]byte("\xff\xe1\xff\xff"), make([]byte, 65533)...), 5), card.Bytes()[2:])
		for want, body := range map[string][]byte{"image/png": specimenPNG(800), "image/jpeg": long} {
			var sent atomic.Value
			server.Use(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if puts(r) {
					sent.Store(r.Header.Get("Content-Type"))
				}
				next.ServeHTTP(w, r)
			})
			if _, err := store.UploadImage(t.Context(), "batch-1", "TYPE", bytes.NewReader(body)); err != nil {
				t.Fatal(err)
			}
			if sent.Load() != want {
				t.Errorf("sent as %v, want %s", sent.Load(), want)
			}
		}
	})
}

func TestAnUploadThatAWorkerWouldRefuseSendsNothing(t *testing.T) {
	t.Parallel()
	server := storagetest.StartFake(t)
	store := server.Store(t)
	var requests atomic.Int64
	server.Use(storagetest.Count(&requests, func(*http.Request) bool { return true }))
	huge := specimenPNG(0)
	binary.BigEndian.PutUint32(huge[16:], 12000) // width
	binary.BigEndian.PutUint32(huge[20:], 12000)
	binary.BigEndian.PutUint32(huge[29:], crc32.ChecksumIEEE(huge[12:29]))
	for want, body := range map[string][]byte{
		"image_empty":           {},
		"image_is_pdf":          []byte("%PDF-1.7 SPECIMEN"),
		"image_type_invalid":    []byte("<html><script>1</script></html>"),
		"image_header_invalid":  specimenPNG(0)[:20],
		"image_too_large":       specimenPNG(tasks.MaxImageBytes + 1),
		"image_too_many_pixels": huge,
	} {
		_, err := store.UploadImage(t.Context(), storage.SingleGroup, "BAD", bytes.NewReader(body))
		var invalid *tasks.InvalidError
		if !errors.As(err, &invalid) || invalid.Field != "image" || invalid.Code != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if _, byHead := tasks.ValidateImage(body[:min(len(body), tasks.ImageHeadBytes)], int64(len(body))); !errors.As(byHead, &invalid) || invalid.Code != want {
			t.Errorf("a worker would say %v, want %s", byHead, want)
		}
	}
	if requests.Load() != 0 {
		t.Errorf("%d requests were sent", requests.Load())
	}
}

func TestUploadingTheSameBytesAgainSendsNothing(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		var sent atomic.Int64
		server.Use(storagetest.Count(&sent, puts))
		upload := func() tasks.Image {
			img, err := store.UploadImage(t.Context(), storage.SingleGroup, "SAME", bytes.NewReader(specimenPNG(800)))
			if err != nil {
				t.Fatal(err)
			}
			return img
		}
		first, second := upload(), upload()
		if first != second || sent.Load() != 1 {
			t.Errorf("%v, %v with %d PUTs, want the same with one", first, second, sent.Load())
		}
	})
}

func TestAnUploadIsWrittenAnewOnlyAfterHalfOfItsLife(t *testing.T) {
	t.Parallel()
	server := storagetest.StartFake(t) // MinIO would refuse a clock that is days ahead
	store := server.Store(t)
	var sent atomic.Int64
	server.Use(storagetest.Count(&sent, puts))
	for _, step := range []struct {
		after time.Duration
		want  int64
	}{{0, 1}, {14 * 24 * time.Hour, 1}, {2 * 24 * time.Hour, 2}} {
		server.Advance(step.after)
		if _, err := store.UploadImage(t.Context(), storage.SingleGroup, "OLD", bytes.NewReader(specimenPNG(800))); err != nil {
			t.Fatal(err)
		}
		if sent.Load() != step.want {
			t.Errorf("%s later: %d PUTs, want %d", step.after, sent.Load(), step.want)
		}
	}
}

func TestAMissingImageAndAMissingBucketAreToldApart(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		bucket := server.PutUserImage(t, "there.png", specimenPNG(80))
		cfg := server.Config()
		cfg.ImageBuckets = append(cfg.ImageBuckets, "kycq-no-such-bucket")
		store, err := storage.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			img  tasks.Image
			want error
		}{
			{tasks.Image{Bucket: bucket, Key: "there.png"}, nil},
			{tasks.Image{Bucket: bucket, Key: "not/uploaded/this.jpg"}, storage.ErrNotFound},
			{tasks.Image{Bucket: "kycq-no-such-bucket", Key: "a.jpg"}, storage.ErrNoBucket},
		} {
			body, _, err := store.OpenImage(t.Context(), c.img)
			if !errors.Is(err, c.want) {
				t.Errorf("open: got %v, want %v", err, c.want)
			} else if err == nil {
				_ = body.Close()
			}
			if _, _, err := store.ImageHead(t.Context(), c.img, 10); !errors.Is(err, c.want) {
				t.Errorf("head: got %v, want %v", err, c.want)
			}
		}
	})
}

func TestADownloadThatBreaksOffIsAnError(t *testing.T) {
	t.Parallel()
	server := storagetest.StartFake(t)
	store := server.Store(t)
	img, err := store.UploadImage(t.Context(), storage.SingleGroup, "CUT", bytes.NewReader(specimenPNG(1<<20)))
	if err != nil {
		t.Fatal(err)
	}
	server.Use(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Length", "1048576")
		_, _ = w.Write(specimenPNG(1 << 16))
		storagetest.Drop()
	})
	src, _, err := store.OpenImage(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if n, err := io.Copy(io.Discard, src); err == nil {
		t.Errorf("%d bytes of a broken body passed for the whole", n)
	}
}

func TestOnlyKycqsOwnUploadsAreDeleted(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		inbox := server.Config().InboxBucket
		img, err := store.UploadImage(t.Context(), storage.SingleGroup, "GONE", bytes.NewReader(specimenPNG(80)))
		if err != nil {
			t.Fatal(err)
		}
		for name, refused := range map[string]tasks.Image{
			"not uploaded by kycq": {Bucket: inbox, Key: img.Key},
			"another bucket":       {Bucket: server.Config().MaskedBucket, Key: img.Key, Uploaded: true},
			"the quarantine":       {Bucket: inbox, Key: "quarantine/GONE.0123456789ab", Uploaded: true},
			"a key of the user's":  {Bucket: inbox, Key: "cards/GONE.jpg", Uploaded: true},
			"a path trick":         {Bucket: inbox, Key: "single/../GONE.0123456789ab", Uploaded: true},
		} {
			if err := store.DeleteUpload(t.Context(), refused); err == nil {
				t.Errorf("%s: deleted", name)
			}
		}
		for range 2 {
			if err := store.DeleteUpload(t.Context(), img); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := store.OpenImage(t.Context(), img); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("after deleting: %v, want ErrNotFound", err)
		}
	})
}

func TestAMaskedImageIsStoredByteForByteWithItsType(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		body := specimenPNG(4096)
		bucket, key, err := store.PutMasked(t.Context(), "MASK", 2, "png", "image/png", body)
		if err != nil || bucket != server.Config().MaskedBucket || key != "masked/MASK/2.png" {
			t.Fatalf("%s %s %v", bucket, key, err)
		}
		got, err := store.Masked(t.Context(), key)
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
		stored, err := server.Objects(t.Context())
		if err != nil || len(stored) != 1 || stored[0].Metadata["Content-Type"] != "image/png" {
			t.Errorf("stored %+v, %v", stored, err)
		}
		for range 2 {
			if err := store.DeleteMasked(t.Context(), "MASK", 2); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := store.Masked(t.Context(), key); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("after deleting: %v", err)
		}
	})
}

func TestWhatIsNoImageIsNotStoredAsMasked(t *testing.T) {
	t.Parallel()
	store := storagetest.NewFake(t)
	for name, put := range map[string][2]string{
		"a wrong extension": {"exe", "image/png"}, "a wrong type": {"png", "text/html"}, "a path in the extension": {"png/../x.png", "image/png"},
	} {
		if _, _, err := store.PutMasked(t.Context(), "M", 1, put[0], put[1], nil); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestTheQuarantineLiesInTheInboxWithoutAnUploadTag(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		var tagged atomic.Bool
		server.Use(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			tagged.Store(r.Header.Get("X-Amz-Tagging") != "")
			next.ServeHTTP(w, r)
		})
		bucket, key, err := store.PutQuarantine(t.Context(), "UNSAFE", "image/png", specimenPNG(80))
		if err != nil || bucket != server.Config().InboxBucket || key != "quarantine/UNSAFE" || tagged.Load() {
			t.Errorf("%s %s, tagged %v, %v", bucket, key, tagged.Load(), err)
		}
		if err := store.DeleteQuarantine(t.Context(), "UNSAFE"); err != nil {
			t.Error(err)
		}
	})
}
