package storage_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
	"github.com/kycq/kycq/tasks"
)

func TestARecordReadsBackAsItWasWritten(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		want := goldenRecord()
		if _, err := store.CreateRecord(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		got, v, err := store.Record(t.Context(), want.Kind, want.VerificationID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("read back (-wrote +read):\n%s", diff)
		}
		if len(want.WriteID) != 32 || want.UpdatedAt.IsZero() || v.ETag == "" {
			t.Errorf("write_id %q, updated_at %v, ETag %q", want.WriteID, want.UpdatedAt, v.ETag)
		}
	})
}

func TestAMissingRecordIsNotFound(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		_, _, err := server.Store(t).Record(t.Context(), tasks.Aadhaar, "NOBODY")
		if !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("got %v, want ErrNotFound", err)
		}
	})
}

func TestReadingARecordIsOneGET(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		created(t, store, "ONE-GET")
		var gets, all atomic.Int64
		server.Use(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			all.Add(1)
			storagetest.Count(&gets, storagetest.Method(http.MethodGet))(w, r, next)
		})
		if _, _, err := store.Record(t.Context(), tasks.Aadhaar, "ONE-GET"); err != nil {
			t.Fatal(err)
		}
		if gets.Load() != 1 || all.Load() != 1 {
			t.Errorf("%d GETs of %d requests, want one", gets.Load(), all.Load())
		}
	})
}

func TestCreatingTwiceIsRefusedAndLeavesTheFirst(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		first, _ := created(t, store, "TWICE")
		second := queued("TWICE")
		if _, err := store.CreateRecord(t.Context(), second); !errors.Is(err, storage.ErrExists) {
			t.Fatalf("got %v, want ErrExists", err)
		}
		if second.WriteID != "" || !second.UpdatedAt.IsZero() {
			t.Error("a lost create changed the caller's record")
		}
		stored, _, err := store.Record(t.Context(), tasks.Aadhaar, "TWICE")
		if err != nil || stored.WriteID != first.WriteID {
			t.Errorf("write_id %q is stored (%v), want the first's", stored.WriteID, err)
		}
	})
}

func TestASwapNeedsTheVersionThatStands(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		r, v1 := created(t, store, "SWAP")
		r.State = storage.StateWaiting
		v2, err := store.SwapRecord(t.Context(), r, v1)
		if err != nil {
			t.Fatal(err)
		}
		stale := r.Clone()
		stale.State = storage.StateFailed
		if _, err := store.SwapRecord(t.Context(), stale, v1); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("a stale swap: got %v, want ErrConflict", err)
		}
		if stale.WriteID != r.WriteID {
			t.Error("a lost swap changed the caller's write_id")
		}
		if _, err := store.SwapRecord(t.Context(), r, v2); err != nil {
			t.Errorf("a swap with the version of the last one: %v", err)
		}
		if _, err := store.SwapRecord(t.Context(), queued("SWAP"), storage.Version{}); err == nil {
			t.Error("a swap without a version was taken")
		}
	})
}

func TestOfManyCreatorsExactlyOneWins(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		winners := race(t, 32, func(int) (string, error) {
			r := queued("RACE")
			_, err := store.CreateRecord(t.Context(), r)
			return r.WriteID, err
		}, storage.ErrExists)
		assertWinner(t, store, "RACE", winners)
	})
}

func TestOfManySwappersExactlyOneWins(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		r, v := created(t, store, "RACE")
		winners := race(t, 32, func(n int) (string, error) {
			own := r.Clone()
			own.State, own.Reason = storage.StateWaiting, fmt.Sprint(n)
			_, err := store.SwapRecord(t.Context(), own, v)
			return own.WriteID, err
		}, storage.ErrConflict)
		assertWinner(t, store, "RACE", winners)
	})
}

// race runs n writers at once and returns the write_ids of those that won; the others must have lost by the given error.
func race(t *testing.T, n int, write func(int) (string, error), loss error) []string {
	t.Helper()
	var (
		mu      sync.Mutex
		winners []string
		all     sync.WaitGroup
		start   = make(chan struct{})
	)
	for i := range n {
		all.Go(func() {
			<-start
			id, err := write(i)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				winners = append(winners, id)
			case !errors.Is(err, loss):
				t.Errorf("writer %d: got %v, want %v", i, err, loss)
			}
		})
	}
	close(start)
	all.Wait()
	return winners
}

func assertWinner(t *testing.T, store *storage.Store, id string, winners []string) {
	t.Helper()
	if len(winners) != 1 {
		t.Fatalf("%d writers won, want 1", len(winners))
	}
	stored, _, err := store.Record(t.Context(), tasks.Aadhaar, id)
	if err != nil || stored.WriteID != winners[0] {
		t.Errorf("the stored record (%v, %v) is not the winner's", stored, err)
	}
}

func TestARecordsAgeIsTakenFromTheStoresClock(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		created(t, store, "OLD")
		server.Advance(3 * time.Minute)
		_, v, err := store.Record(t.Context(), tasks.Aadhaar, "OLD")
		if err != nil {
			t.Fatal(err)
		}
		if v.Age < 3*time.Minute || v.Age > 4*time.Minute {
			t.Errorf("age %s, want 3 minutes", v.Age)
		}
	})
}

func TestRecordsListsEveryIDOfTheKindOverManyPages(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		n := 1050 // a page has 1,000
		if testing.Short() {
			n = 10
		}
		var want []string
		for i := range n {
			want = append(want, fmt.Sprintf("ID-%04d", i))
		}
		createAll(t, store, want)
		other := queued("OTHER-KIND")
		other.Kind = tasks.Passport
		if _, err := store.CreateRecord(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		var got []string
		for id, err := range store.Records(t.Context(), tasks.Aadhaar) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, id)
		}
		if !slices.Equal(got, want) {
			t.Errorf("listed %d ids, want %d in order", len(got), n)
		}
	})
}

func createAll(t *testing.T, store *storage.Store, ids []string) {
	t.Helper()
	var all sync.WaitGroup
	slots := make(chan struct{}, 16)
	for _, id := range ids {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if _, err := store.CreateRecord(t.Context(), queued(id)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
