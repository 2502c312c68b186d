package storage_test

import (
	"context"
	"errors"
	"testing"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
	"github.com/kycq/kycq/tasks"
)

func TestImagesAreRenewedForOpenJobsOpenReviewsAndLegalHoldsOnly(t *testing.T) {
	t.Parallel()
	store := storagetest.StartFake(t).Store(t)
	put := func(id string, state storage.State, change func(*storage.Record)) {
		t.Helper()
		rec := storage.NewRecord(tasks.JobSpec{Kind: tasks.Aadhaar, VerificationID: id, Lane: tasks.Bulk, Run: 1})
		rec.State = state
		if change != nil {
			change(rec)
		}
		if _, err := store.CreateRecord(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
	}
	put("OPEN", storage.StateWaiting, nil)
	put("REVIEW", storage.StateFailed, func(r *storage.Record) { r.Review = "visible_qr" })
	put("DECIDED", storage.StateFailed, func(r *storage.Record) { r.Review = storage.ReviewRejected + "asha: all digits" })
	put("FAILED", storage.StateFailed, nil)
	put("HELD", storage.StateFailed, nil)
	put("ERASED", storage.StateFailed, func(r *storage.Record) { r.Review, r.Erased = "visible_qr", &storage.Erasure{By: "asha"} })
	if _, err := store.AddLegalHold(t.Context(), storage.LegalHold{Kind: tasks.Aadhaar, VerificationID: "HELD", By: "asha", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	open := func(_ context.Context, batch string) (bool, error) { return batch == "cards-00000000", nil }
	for key, want := range map[string]bool{
		"single/OPEN.0123456789ab": true, "quarantine/REVIEW": true, "single/REVIEW.0123456789ab": true, "quarantine/HELD": true,
		"quarantine/DECIDED": false, "single/FAILED.0123456789ab": false, "quarantine/ERASED": false, "single/NONE.0123456789ab": false,
		"cards-00000000/ROW.0123456789ab": true, "cards-11111111/ROW.0123456789ab": false, "users/own.png": false,
	} {
		if got, err := storage.Needed(store, t.Context(), key, open); err != nil || got != want {
			t.Errorf("%s: needed %v, %v; want %v", key, got, err, want)
		}
	}
}

func TestARenewalDoesNotBringBackWhatWasErased(t *testing.T) {
	t.Parallel()
	store := storagetest.StartFake(t).Store(t)
	rec := storage.NewRecord(tasks.JobSpec{Kind: tasks.Aadhaar, VerificationID: "A", Lane: tasks.Bulk, Run: 1})
	rec.State, rec.Erased = storage.StateFailed, &storage.Erasure{By: "asha"}
	if _, err := store.CreateRecord(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.PutQuarantine(t.Context(), "A", "image/png", []byte("\x89PNG\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := storage.Renew(store, t.Context(), "quarantine/A"); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Quarantined(t.Context(), "A"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("the image of an erased job is there: %v", err)
	}
	if err := storage.Renew(store, t.Context(), "quarantine/GONE"); err != nil {
		t.Errorf("an image that was deleted meanwhile: %v", err)
	}
}
