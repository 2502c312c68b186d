package storage_test

import (
	"errors"
	"net/http"
	"sync"
	"testing"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
	"github.com/kycq/kycq/tasks"
)

var puts = storagetest.Method(http.MethodPut)

// One lost reply: the SDK's retry meets a 412. Three: the write ends in silence. Either way it happened, and it was ours.
func TestAWriteWhoseReplyWasLostCountsAsOurs(t *testing.T) {
	for name, lost := range map[string]int64{"once": 1, "every time": 3} {
		t.Run(name, func(t *testing.T) {
			contract(t, func(t *testing.T, server *storagetest.Server) {
				store := server.Store(t)
				server.Use(storagetest.LoseReplies(lost, puts))
				r := queued("LOST")
				v, err := store.CreateRecord(t.Context(), r)
				if err != nil {
					t.Fatalf("create: %v", err)
				}
				server.Use(storagetest.LoseReplies(lost, puts))
				r.State = storage.StateWaiting
				v, err = store.SwapRecord(t.Context(), r, v)
				if err != nil {
					t.Fatalf("swap: %v", err)
				}
				stored, now, err := store.Record(t.Context(), tasks.Aadhaar, "LOST")
				if err != nil || stored.WriteID != r.WriteID || now.ETag != v.ETag {
					t.Errorf("the stored object is not the reported one: %v", err)
				}
			})
		})
	}
}

func TestAGenericObjectWhoseReplyWasLostCountsAsOurs(t *testing.T) {
	contract(t, func(t *testing.T, server *storagetest.Server) {
		store, key := server.Store(t), "batches/b/batch.json"
		server.Use(storagetest.LoseReplies(1, puts))
		etag, err := store.PutNewObject(t.Context(), key, []byte("{}"), "application/json")
		if err != nil {
			t.Fatalf("create: %v", err)
		}
		server.Use(storagetest.LoseReplies(1, puts))
		if _, err = store.SwapObject(t.Context(), key, []byte("{}"), etag); err != nil {
			t.Errorf("swap: %v", err)
		}
	})
}

func TestAWriteInTheDarkIsUncertainAndNeverASuccess(t *testing.T) {
	contract(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		r, v := created(t, store, "DARK")
		server.Use(storagetest.Down)
		r.State = storage.StateSent
		var all sync.WaitGroup // each call waits between its retries
		all.Go(func() {
			_, err := store.SwapRecord(t.Context(), r, v)
			if !errors.Is(err, storage.ErrUncertain) || !errors.Is(err, storage.ErrUnreachable) {
				t.Errorf("swap: got %v, want ErrUncertain and ErrUnreachable", err)
			}
		})
		all.Go(func() {
			if _, err := store.CreateRecord(t.Context(), queued("DARK-2")); !errors.Is(err, storage.ErrUncertain) {
				t.Errorf("create: got %v, want ErrUncertain", err)
			}
		})
		all.Go(func() {
			if _, _, err := store.Record(t.Context(), tasks.Aadhaar, "DARK"); !errors.Is(err, storage.ErrUnreachable) {
				t.Errorf("read: got %v, want ErrUnreachable", err)
			}
		})
		all.Wait()
	})
}

// The PUTs vanish, reads work: the object is unchanged, but a PUT may still arrive.
func TestASilentSwapThatDidNotHappenIsUncertain(t *testing.T) {
	contract(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		r, v := created(t, store, "VANISHED")
		server.Use(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if puts(r) {
				storagetest.Drop()
			}
			next.ServeHTTP(w, r)
		})
		if _, err := store.SwapRecord(t.Context(), r, v); !errors.Is(err, storage.ErrUncertain) {
			t.Errorf("got %v, want ErrUncertain", err)
		}
	})
}

// A 503 after the write happened: the write is stored although the store reports a failure.
func TestAWriteAnsweredWithAServerErrorIsReadBack(t *testing.T) {
	contract(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		server.Use(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if !puts(r) {
				next.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(&discard{header: http.Header{}}, r)
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		if _, err := store.CreateRecord(t.Context(), queued("E503")); err != nil {
			t.Errorf("got %v, want success by read-back", err)
		}
	})
}

type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}
