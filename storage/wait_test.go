package storage_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
	"github.com/kycq/kycq/tasks"
)

// finish swaps a record for a final one.
func finish(t *testing.T, store *storage.Store, r *storage.Record, v storage.Version) {
	t.Helper()
	r.State, r.ReferenceID = storage.StateValid, 354768
	r.MaskedImage = &storage.MaskedImage{Bucket: "kycq-masked", Key: "masked/WAIT.jpg"}
	r.CompletedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if _, err := store.SwapRecord(context.WithoutCancel(t.Context()), r, v); err != nil {
		t.Error(err)
	}
}

func TestWaitReturnsTheResultOfAFinalRecord(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		r, v := created(t, store, "WAIT")
		done := time.AfterFunc(300*time.Millisecond, func() { finish(t, store, r, v) })
		defer done.Stop()
		want := storage.Result{
			Kind: tasks.Aadhaar, VerificationID: "WAIT", Run: 1, State: storage.StateValid, ReferenceID: 354768,
			MaskedImage: &storage.MaskedImage{Bucket: "kycq-masked", Key: "masked/WAIT.jpg"},
			CompletedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		}
		for _, when := range []string{"while it becomes final", "when it is final"} {
			got, err := store.Wait(t.Context(), tasks.Aadhaar, "WAIT")
			if err != nil {
				t.Fatalf("%s: %v", when, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
		}
	})
}

func TestWaitFailsAtOnceForAnUnknownID(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		if _, err := server.Store(t).Wait(t.Context(), tasks.Aadhaar, "NOPE"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("got %v, want ErrNotFound", err)
		}
	})
}

func TestWaitOutlastsAnOutage(t *testing.T) {
	t.Parallel()
	server := storagetest.StartFake(t)
	store := server.Store(t)
	r, v := created(t, store, "WAIT")
	finish(t, store, r, v)
	server.Use(storagetest.Down)
	done := time.AfterFunc(3*time.Second, func() { server.Use(nil) })
	defer done.Stop()
	if _, err := store.Wait(t.Context(), tasks.Aadhaar, "WAIT"); err != nil {
		t.Error(err)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for _, down := range []bool{false, true} {
		server := storagetest.StartFake(t)
		store := server.Store(t)
		created(t, store, "WAIT")
		timeout := 300 * time.Millisecond
		if down {
			server.Use(storagetest.Down)
			timeout = 6 * time.Second // the first read fails after its retries
		}
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		_, err := store.Wait(ctx, tasks.Aadhaar, "WAIT")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("down %v: got %v, want the context's error", down, err)
		}
		if errors.Is(err, storage.ErrUnreachable) != down {
			t.Errorf("down %v: got %v, want ErrUnreachable only for an outage", down, err)
		}
	}
}

func TestWatchYieldsEachChangeOnce(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		r, v := created(t, store, "WATCH")
		var states []storage.State
		for seen, err := range store.Watch(t.Context(), tasks.Aadhaar, "WATCH") {
			if err != nil {
				t.Fatal(err)
			}
			states = append(states, seen.State)
			switch seen.State {
			case storage.StateQueued:
				r.State, r.Reason = storage.StateWaiting, "hold"
				if v, err = store.SwapRecord(t.Context(), r, v); err != nil {
					t.Fatal(err)
				}
			case storage.StateWaiting:
				finish(t, store, r, v)
			}
		}
		want := []storage.State{storage.StateQueued, storage.StateWaiting, storage.StateValid}
		if diff := cmp.Diff(want, states); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
