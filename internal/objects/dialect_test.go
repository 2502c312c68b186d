package objects_test

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
)

// writes reports whether a request stores an object: a PUT of one, or the start of a multipart upload.
func writes(r *http.Request) bool {
	object := strings.Count(strings.Trim(r.URL.Path, "/"), "/") > 0
	return object && (r.Method == http.MethodPut && !r.URL.Query().Has("partNumber") || r.Method == http.MethodPost && r.URL.Query().Has("uploads"))
}

// dialects are stores that differ from AWS, and which writes and reads of kycq's work with nevertheless.
var dialects = map[string]storagetest.Intercept{
	"no tags": func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Header.Get("X-Amz-Tagging") != "" {
			refuse(w, http.StatusNotImplemented, "NotImplemented")
			return
		}
		next.ServeHTTP(w, r)
	},
	"no permission to tag": func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Header.Get("X-Amz-Tagging") != "" {
			refuse(w, http.StatusForbidden, "AccessDenied")
			return
		}
		next.ServeHTTP(w, r)
	},
	"weak ETags on reads": func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.HasPrefix(r.Header.Get("If-Match"), "W/") {
			w.WriteHeader(http.StatusPreconditionFailed) // as RFC 9110 says
			return
		}
		if r.Method == http.MethodPut {
			next.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(&weak{ResponseWriter: w}, r)
	},
	"HEAD is refused without a code": func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	},
	"the first swap is aborted": func() storagetest.Intercept {
		var n atomic.Int64
		return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Header.Get("If-Match") != "" && n.Add(1) == 1 {
				refuse(w, http.StatusConflict, "OperationAborted")
				return
			}
			next.ServeHTTP(w, r)
		}
	}(),
	"Content-MD5 is required": func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPut && r.ContentLength > 0 {
			body, _ := io.ReadAll(r.Body)
			sum := md5.Sum(body)
			if r.Header.Get("Content-MD5") != base64.StdEncoding.EncodeToString(sum[:]) {
				refuse(w, http.StatusBadRequest, "InvalidRequest")
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		next.ServeHTTP(w, r)
	},
	"no listing of versions": func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if q := r.URL.Query(); q.Has("versions") || q.Has("versioning") || q.Has("lifecycle") || q.Has("object-lock") || q.Has("tagging") {
			refuse(w, http.StatusNotImplemented, "NotImplemented")
			return
		}
		next.ServeHTTP(w, r)
	},
}

// weak marks the ETag of a response as weak, as a compressing proxy does.
type weak struct {
	http.ResponseWriter
	done bool
}

func (w *weak) WriteHeader(status int) {
	if etag := w.Header().Get("ETag"); etag != "" && !w.done {
		w.Header().Set("ETag", "W/"+etag)
	}
	w.done = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *weak) Write(p []byte) (int, error) {
	if !w.done {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

func TestOtherStoresWork(t *testing.T) {
	t.Parallel()
	for name, dialect := range dialects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := storagetest.StartFake(t)
			b := server.Store(t).Buckets()
			server.Use(dialect)
			for range 2 {
				if err := upload(t, b); err != nil {
					t.Errorf("upload: %v", err)
				}
			}
			first := created(t, b)
			read, err := b.Records.Get(t.Context(), key)
			if err != nil || read.ETag != first {
				t.Fatalf("read %+v, %v, want the ETag %s", read, err, first)
			}
			if _, err := b.Records.Swap(t.Context(), key, []byte("{}"), read.ETag); err != nil {
				t.Errorf("swap: %v", err)
			}
			if err := b.Inbox.Purge(t.Context(), "single/A.0123456789ab"); err != nil {
				t.Errorf("purge: %v", err)
			}
			if err := b.SelfTest(t.Context()); err != nil {
				t.Errorf("self-test: %v", err)
			}
			for _, check := range b.Check(t.Context()) {
				if check.Err != nil {
					t.Errorf("check of %s: %v", check.Role, check.Err)
				}
			}
		})
	}
}

func upload(t *testing.T, b *objects.Buckets) error {
	t.Helper()
	return b.Upload(t.Context(), "single/A.0123456789ab", objects.Upload{
		Body: strings.NewReader("image"), Size: 5, SHA256: "0123456789ab", ContentType: "image/png",
	})
}

// What is missing is named: tags by a warning, since kycq works without them.
func TestCheckNamesMissingTags(t *testing.T) {
	t.Parallel()
	server := storagetest.StartFake(t)
	b := server.Store(t).Buckets()
	server.Use(dialects["no tags"])
	inbox := b.Check(t.Context())[0]
	if inbox.Err != nil || !strings.Contains(fmt.Sprint(inbox.Retention.Warnings), "tags are not stored") {
		t.Errorf("%v, %v", inbox.Err, inbox.Retention.Warnings)
	}
}

// A bucket whose policy requires encryption takes every write if the setting asks for it, and names the setting if not.
func TestRequiredEncryption(t *testing.T) {
	t.Parallel()
	server := storagetest.StartFake(t)
	server.Store(t)
	server.Use(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if writes(r) && (r.Header.Get("X-Amz-Server-Side-Encryption") != "aws:kms" ||
			r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id") != "alias/kycq") {
			refuse(w, http.StatusForbidden, "AccessDenied")
			return
		}
		next.ServeHTTP(w, r)
	})
	cfg := server.Config()
	for _, set := range []bool{false, true} {
		if set {
			cfg.SSE, cfg.SSEKMSKey = "aws:kms", "alias/kycq"
		}
		store, err := storage.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, check := range store.Buckets().Check(t.Context()) {
			if !set && (!errors.Is(check.Err, objects.ErrDenied) || !strings.Contains(check.Err.Error(), "KYCQ_S3_SSE")) {
				t.Errorf("%s without the setting: %v", check.Role, check.Err)
			}
			if set && (check.Err != nil || strings.Contains(fmt.Sprint(check.Retention.Warnings), "multipart")) {
				t.Errorf("%s: %v, %v", check.Role, check.Err, check.Retention.Warnings)
			}
		}
		if err := upload(t, store.Buckets()); (err == nil) != set {
			t.Errorf("upload with the setting %t: %v", set, err)
		}
	}
}

func TestEncryptionIsNamedIfTheStoreCannot(t *testing.T) {
	t.Parallel()
	server := storagetest.StartFake(t)
	server.Store(t)
	cfg := server.Config()
	cfg.SSE = "AES256"
	server.Use(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Header.Get("X-Amz-Server-Side-Encryption") != "" {
			refuse(w, http.StatusNotImplemented, "NotImplemented")
			return
		}
		next.ServeHTTP(w, r)
	})
	store, err := storage.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Buckets().SelfTest(t.Context()); err == nil || !strings.Contains(err.Error(), "KYCQ_S3_SSE=AES256") {
		t.Errorf("got %v", err)
	}
}
