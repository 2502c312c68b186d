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
			storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
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

func TestAWriteInTheDarkIsUncertainAndNeverASuccess(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
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
