package objects_test

import (
	"cmp"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kycq/kycq/internal/access"
	"github.com/kycq/kycq/internal/dev/miniousers"
	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/internal/redact"
	"github.com/kycq/kycq/internal/testenv"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
)

// as returns the buckets with the credentials of a new MinIO user that has the permissions.
func as(t *testing.T, cfg storage.Config, permissions []access.Permission) *objects.Buckets {
	t.Helper()
	server, err := url.Parse(testenv.S3(t))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := server.User.Password()
	admin, err := miniousers.New(server.String(), server.User.Username(), password)
	if err != nil {
		t.Fatal(err)
	}
	user := strings.ToLower(rand.Text()[:20])
	names := map[string]string{access.Inbox: cfg.InboxBucket, access.Masked: cfg.MaskedBucket, access.Records: cfg.RecordsBucket}
	if err := admin.Put(t.Context(), user, "specimen-secret", access.Policy(permissions, names)); err != nil {
		t.Fatal(err)
	}
	cfg.AccessKeyID, cfg.SecretAccessKey = user, redact.NewSecret("specimen-secret")
	store, err := storage.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return store.Buckets()
}

// unknownToMinIO are the actions that MinIO allows with another one.
var unknownToMinIO = []string{"ListBucketVersions", "PutObjectTagging", "DeleteObjectVersion", "GetObjectVersion"}

// Each role has what it needs. Without some permissions, those are named, and no others.
func TestMissingPermissionsAreNamed(t *testing.T) {
	t.Parallel()
	server := storagetest.StartMinIO(t)
	server.Store(t)
	for _, role := range access.Roles() {
		t.Run(string(role), func(t *testing.T) {
			t.Parallel()
			all := access.S3(role)
			// Permissions that do not depend on each other are removed together.
			removed := map[string][]access.Permission{"nothing": nil}
			for i, p := range all {
				hidden := slices.Contains(unknownToMinIO, p.Action) ||
					p.Action == "GetObject" && slices.Contains(all, access.Permission{Bucket: p.Bucket, Action: "GetObjectVersion", Key: p.Key})
				switch {
				case hidden:
				case p.Action == "ListBucket":
					removed["the list of "+p.Bucket] = []access.Permission{p}
				default:
					half := []string{"some", "others"}[i%2]
					removed[half] = append(removed[half], p)
				}
			}
			for what, missing := range removed {
				rest := slices.DeleteFunc(slices.Clone(all), func(p access.Permission) bool { return slices.Contains(missing, p) })
				lacking, err := as(t, server.Config(), rest).Denied(t.Context(), all, nil)
				lacking = slices.DeleteFunc(lacking, func(p access.Permission) bool { return slices.Contains(unknownToMinIO, p.Action) })
				if err != nil || !slices.Equal(lacking, missing) {
					t.Errorf("without %s: %v, %v\nwant %v", what, lacking, err, missing)
				}
			}
		})
	}
}

// Trying permissions leaves nothing behind, and changes no object.
func TestTryingPermissionsWritesNothing(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		b := server.Store(t).Buckets()
		if err := b.Records.Put(t.Context(), "holds.json", []byte("before"), "text/plain"); err != nil {
			t.Fatal(err)
		}
		if lacking, err := b.Denied(t.Context(), access.S3(access.Operator), nil); err != nil || len(lacking) > 0 {
			t.Errorf("%v, %v", lacking, err)
		}
		for _, bucket := range []*objects.Bucket{b.Inbox, b.Masked, b.Records} {
			for info, err := range bucket.List(t.Context(), "") {
				if err != nil || info.Key != "holds.json" {
					t.Errorf("%s: %s, %v", bucket.Name(), info.Key, err)
				}
			}
		}
		if found, err := b.Records.Get(t.Context(), "holds.json"); err != nil || string(found.Body) != "before" {
			t.Errorf("%v, %v", found, err)
		}
	})
}

// A store that ignores conditions would replace objects by empty ones; one that was not tested may ignore them.
func TestNoObjectIsAtRiskAtAStoreThatIgnoresConditions(t *testing.T) {
	t.Parallel()
	server := storagetest.StartFake(t)
	b := server.Store(t).Buckets()
	if err := b.Records.Put(t.Context(), "holds.json", []byte("before"), "text/plain"); err != nil {
		t.Fatal(err)
	}
	var puts atomic.Int64
	server.Use(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPut {
			puts.Add(1)
			r.Header.Del("If-Match")
		}
		next.ServeHTTP(w, r)
	})
	for _, c := range []struct {
		selfTest error
		tried    bool
	}{{objects.ErrNoConditions, false}, {objects.ErrUnreachable, true}} {
		puts.Store(0)
		if _, err := b.Denied(t.Context(), access.S3(access.Operator), c.selfTest); err != nil || (puts.Load() > 0) != c.tried {
			t.Errorf("after %v: %d PUTs, %v", c.selfTest, puts.Load(), err)
		}
		if found, err := b.Records.Get(t.Context(), "holds.json"); err != nil || string(found.Body) != "before" {
			t.Errorf("after %v: %v, %v", c.selfTest, found, err)
		}
	}
}

// Without an answer, nothing is known about the permissions.
func TestPermissionsThatCannotBeTriedAreAnError(t *testing.T) {
	t.Parallel()
	server := storagetest.StartFake(t)
	b := server.Store(t).Buckets()
	server.Use(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		refuse(w, http.StatusForbidden, "InvalidAccessKeyId")
	})
	if lacking, err := b.Denied(t.Context(), access.S3(access.Worker), nil); !errors.Is(err, objects.ErrDenied) {
		t.Errorf("with a wrong key: %v, %v", lacking, err)
	}
}

// Without s3:ListBucket, AWS denies access to missing objects; without s3:PutObject, also to those with tags.
func TestAPermissionThatHidesOthersIsNamedAlone(t *testing.T) {
	t.Parallel()
	server := storagetest.StartFake(t)
	b := server.Store(t).Buckets()
	server.Use(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.HasPrefix(r.URL.Path, "/"+server.Config().InboxBucket) && (r.Method == http.MethodPut || r.Method == http.MethodHead || r.URL.Query().Has("list-type")) {
			refuse(w, http.StatusForbidden, "AccessDenied")
			return
		}
		next.ServeHTTP(w, r)
	})
	want := []access.Permission{{Bucket: access.Inbox, Action: "ListBucket"}, {Bucket: access.Inbox, Action: "PutObject"}}
	if lacking, err := b.Denied(t.Context(), access.S3(access.Producer), nil); err != nil || !slices.Equal(lacking, want) {
		t.Errorf("%v, %v, want %v", lacking, err, want)
	}
}

func TestAPublicBucketIsRefused(t *testing.T) {
	t.Parallel()
	server := storagetest.StartFake(t)
	store := server.Store(t)
	server.Use(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.HasPrefix(r.URL.Path, "/"+server.Config().InboxBucket) {
			r.Header.Set("Authorization", cmp.Or(r.Header.Get("Authorization"), "everybody"))
		}
		next.ServeHTTP(w, r)
	})
	err := store.Buckets().SelfTest(t.Context())
	if !errors.Is(err, objects.ErrPublic) {
		t.Fatalf("got %v, want ErrPublic", err)
	}
	assertOneLine(t, err, server.Config().InboxBucket, "Block Public Access")
}
