package storage_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
)

func TestAGenericObjectIsCreatedOnceAndSwappedByItsETag(t *testing.T) {
	contract(t, func(t *testing.T, server *storagetest.Server) {
		store, ctx, key := server.Store(t), t.Context(), "batches/b-1/batch.json"
		first, err := store.PutNewObject(ctx, key, []byte(`{"n":1}`), "application/json")
		if err != nil {
			t.Fatal(err)
		}
		if _, err = store.PutNewObject(ctx, key, []byte(`{"n":1}`), "application/json"); !errors.Is(err, storage.ErrExists) {
			t.Errorf("a second create of the same bytes: %v, want ErrExists", err)
		}
		second, err := store.SwapObject(ctx, key, []byte(`{"n":2}`), first)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = store.SwapObject(ctx, key, []byte(`{"n":3}`), first); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("a stale swap: %v, want ErrConflict", err)
		}
		body, v, err := store.Object(ctx, key)
		if err != nil || string(body) != `{"n":2}` || v.ETag != second {
			t.Errorf("%s %+v %v", body, v, err)
		}
		for range 2 {
			if err := store.DeleteObject(ctx, key); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err = store.Object(ctx, key); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("after deleting: %v, want ErrNotFound", err)
		}
		if _, err = store.SwapObject(ctx, key, nil, second); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("a swap of what is gone: %v, want ErrConflict", err)
		}
	})
}

func TestOfManyWritersOfTheSameBytesExactlyOneWins(t *testing.T) {
	contract(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		winners := race(t, 32, func(int) (string, error) {
			return store.PutNewObject(t.Context(), "audit/2026/1.json", []byte("{}"), "application/json")
		}, storage.ErrExists)
		if len(winners) != 1 {
			t.Errorf("%d won, want 1", len(winners))
		}
	})
}

func TestListWalksAFolder(t *testing.T) {
	contract(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		for _, key := range []string{"batches/a/1", "batches/a/2", "batches/ab/1", "audit/1"} {
			if err := store.PutObject(t.Context(), key, []byte("x"), "text/plain"); err != nil {
				t.Fatal(err)
			}
		}
		for prefix, want := range map[string][]string{
			"batches/": {"batches/a/1", "batches/a/2", "batches/ab/1"}, "batches/a/": {"batches/a/1", "batches/a/2"},
			"audit/": {"audit/1"}, "batches/none/": nil,
		} {
			var got []string
			for info, err := range store.List(t.Context(), prefix) {
				if err != nil || info.Size != 1 || info.Modified.IsZero() {
					t.Fatal(fmt.Sprint(info, err))
				}
				got = append(got, info.Key)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", prefix, got, want)
			}
		}
	})
}

func TestGenericObjectsStayInTheirFolders(t *testing.T) {
	t.Parallel()
	store := storagetest.NewFake(t)
	for _, key := range []string{"", "batches/", "records/aadhaar/X.json", "batches/../records/x", "batches//x", "/batches/x", "batches/a b"} {
		if err := store.PutObject(t.Context(), key, nil, "text/plain"); err == nil {
			t.Errorf("%q was taken", key)
		}
		if err := store.DeleteObject(t.Context(), key); err == nil {
			t.Errorf("%q was deleted", key)
		}
	}
	for _, err := range store.List(t.Context(), "records/") {
		if err == nil {
			t.Error("records/ was listed")
		}
	}
}
