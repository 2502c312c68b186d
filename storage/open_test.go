package storage_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
	"github.com/kycq/kycq/tasks"
)

// openRuns lists all markers as "kind/lane/id/run".
func openRuns(t *testing.T, store *storage.Store) (keys []string) {
	t.Helper()
	for info, err := range store.Buckets().Records.List(t.Context(), "open/") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, strings.TrimPrefix(info.Key, "open/"))
	}
	return keys
}

func TestMarkersAreListedByKindAndDeletedByRun(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		run := func(kind tasks.Kind, lane tasks.Lane, id string, n int) storage.OpenRun {
			return storage.OpenRun{Kind: kind, Lane: lane, VerificationID: id, Run: n}
		}
		want := []storage.OpenRun{
			run(tasks.Passport, tasks.Bulk, "A.b_c-1", 1), run(tasks.Passport, tasks.Live, "A", 1), run(tasks.Passport, tasks.Live, "A", 2),
		}
		for _, r := range append(want, run(tasks.Aadhaar, tasks.Live, "A", 1)) {
			if err := store.MarkOpen(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		if err := store.Buckets().Records.Put(t.Context(), "open/passport/live/A/x", nil, "text/plain"); err != nil {
			t.Fatal(err)
		}
		list := func() (found []storage.OpenRun) {
			for r, err := range store.OpenRuns(t.Context(), tasks.Passport) {
				if err != nil || r.Age < 0 || r.Age > time.Minute {
					t.Fatalf("%+v, %v", r, err)
				}
				r.Age = 0
				found = append(found, r)
			}
			return found
		}
		if got := list(); !slices.Equal(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		for range 2 { // a missing marker is not an error
			if err := store.UnmarkOpen(t.Context(), want[1]); err != nil {
				t.Fatal(err)
			}
		}
		if got := list(); !slices.Equal(got, []storage.OpenRun{want[0], want[2]}) {
			t.Errorf("got %+v", got)
		}
		for _, bad := range []storage.OpenRun{run("x", tasks.Live, "A", 1), run(tasks.Passport, "x", "A", 1), run(tasks.Passport, tasks.Live, "..", 1)} {
			if store.MarkOpen(t.Context(), bad) == nil || store.UnmarkOpen(t.Context(), bad) == nil {
				t.Errorf("%+v was accepted", bad)
			}
		}
	})
}

func TestMarkersAreCompleteOnceThatIsNoted(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		for _, want := range []bool{false, true} {
			if got, err := store.MarkersComplete(t.Context()); err != nil || got != want {
				t.Fatalf("%t, %v, want %t", got, err, want)
			}
			if err := store.SetMarkersComplete(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A producer that is killed between two requests must never leave a record that nothing finds.
func TestAMarkerIsThereBeforeItsRecord(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]int{"new": 1, "next run": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := storagetest.Start(t)
			store := server.Store(t)
			if run > 1 {
				mustAccept(t, store, entry("A", 1))
				finished(t, store, "A")
			}
			var mu sync.Mutex
			var puts []string
			server.Use(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if r.Method == http.MethodPut {
					mu.Lock()
					puts = append(puts, r.URL.Path)
					mu.Unlock()
				}
				next.ServeHTTP(w, r)
			})
			mustAccept(t, store, entry("A", run))
			if len(puts) != 2 || !strings.Contains(puts[0], "/open/passport/live/A/") || !strings.Contains(puts[1], "/records/passport/A.json") {
				t.Errorf("%v", puts)
			}
		})
	}
}

func TestAnOpenRecordGetsItsMarkerAgainAndAFinalOneNone(t *testing.T) {
	t.Parallel()
	store := storagetest.New(t)
	mustAccept(t, store, entry("A", 1))
	if err := store.UnmarkOpen(t.Context(), storage.OpenRunOf(entry("A", 1))); err != nil {
		t.Fatal(err)
	}
	other := entry("A", 1)
	other.Lane = tasks.Bulk
	mustAccept(t, store, other)
	if got := openRuns(t, store); !slices.Equal(got, []string{"passport/live/A/1"}) {
		t.Errorf("open: %v", got)
	}
	finished(t, store, "A")
	if err := store.UnmarkOpen(t.Context(), storage.OpenRunOf(entry("A", 1))); err != nil {
		t.Fatal(err)
	}
	mustAccept(t, store, entry("A", 1))
	if got := openRuns(t, store); len(got) != 0 {
		t.Errorf("a final record got a marker: %v", got)
	}
}

// The producer stood still between marker and record, and the marker was deleted meanwhile.
func TestASlowProducerPutsItsMarkerAgain(t *testing.T) {
	t.Parallel()
	for _, pause := range []time.Duration{0, 2 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			var puts atomic.Int64
			mark := func() error { puts.Add(1); return nil }
			write := func() error { time.Sleep(pause); return nil }
			if err := storage.WriteMarked(mark, write); err != nil {
				t.Fatal(err)
			}
			if want := int64(1 + pause/(2*time.Minute)); puts.Load() != want {
				t.Errorf("%d puts after %v, want %d", puts.Load(), pause, want)
			}
		})
	}
}
