package storage_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
)

func TestQuarantineIsListedReadAndDeleted(t *testing.T) {
	t.Parallel()
	store := storagetest.StartFake(t).Store(t)
	for _, id := range []string{"B", "A.1"} {
		if _, _, err := store.PutQuarantine(t.Context(), id, "image/png", []byte("image "+id)); err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	for id, err := range store.QuarantinedIDs(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if !slices.Equal(ids, []string{"A.1", "B"}) {
		t.Errorf("listed %v", ids)
	}
	if body, err := store.Quarantined(t.Context(), "A.1"); err != nil || string(body) != "image A.1" {
		t.Errorf("%q, %v", body, err)
	}
	if err := store.DeleteQuarantine(t.Context(), "A.1"); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Quarantined(t.Context(), "A.1"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("after the deletion: %v", err)
	}
}
