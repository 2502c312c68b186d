package storage_test

import (
	"context"
	"errors"
	"testing"
	"time"

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
	if _, _, err := store.PutQuarantine(t.Context(), "REVIEW", "image/png", []byte("\x89PNG\r\n")); err != nil {
		t.Fatal(err)
	}
	if n, err := store.RenewImages(t.Context(), open); err != nil || n != 0 {
		t.Errorf("%d new images were renewed: %v", n, err)
	}
}

// An erasure, a review or the end of a job may delete the image between the read and the write.
func TestARenewalDoesNotBringBackWhatWasDeleted(t *testing.T) {
	t.Parallel()
	store := storagetest.Start(t).Store(t)
	inbox := store.Buckets().Inbox
	for _, key := range []string{"quarantine/A", "single/A.0123456789ab"} {
		if err := inbox.Put(t.Context(), key, []byte("\x89PNG\r\n"), "image/png"); err != nil {
			t.Fatal(err)
		}
		if err := storage.Renew(store, t.Context(), key); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		found, err := inbox.Get(t.Context(), key)
		if err != nil || string(found.Body) != "\x89PNG\r\n" {
			t.Fatalf("%s after a renewal: %v", key, err)
		}
		if err := inbox.Purge(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if err := storage.Rewrite(store, t.Context(), key, found); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("%s was deleted: %v", key, err)
		}
		if _, err := inbox.Get(t.Context(), key); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%s is there again: %v", key, err)
		}
		if err := storage.Renew(store, t.Context(), key); err != nil {
			t.Errorf("%s, which is gone: %v", key, err)
		}
	}
}

func TestImagesAreRenewedWhenHalfOfTheirLifeHasPassed(t *testing.T) {
	t.Parallel()
	server := storagetest.StartFake(t)
	store := server.Store(t)
	rec := storage.NewRecord(tasks.JobSpec{Kind: tasks.Aadhaar, VerificationID: "A", Lane: tasks.Bulk, Run: 1})
	if _, err := store.CreateRecord(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.PutQuarantine(t.Context(), "A", "image/png", []byte("\x89PNG\r\n")); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		passes time.Duration
		want   int
	}{{14 * 24 * time.Hour, 0}, {48 * time.Hour, 1}} {
		server.Advance(step.passes)
		if n, err := store.RenewImages(t.Context(), nil); err != nil || n != step.want {
			t.Errorf("%s later: %d renewed, %v, want %d", step.passes, n, err, step.want)
		}
	}
}
