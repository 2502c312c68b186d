package storage_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
	"github.com/kycq/kycq/tasks"
)

func entry(id string, run int) tasks.JobSpec {
	return tasks.JobSpec{
		Kind: tasks.Passport, VerificationID: id, Lane: tasks.Live, Run: run, SealedInput: "kq1.1.aW4", Fingerprint: "f1",
	}
}

// finished brings a record to failed.
func finished(t *testing.T, store *storage.Store, id string) {
	t.Helper()
	r, v, err := store.Record(t.Context(), tasks.Passport, id)
	if err != nil {
		t.Fatal(err)
	}
	r.State, r.Code, r.Message = storage.StateFailed, "provider_error", "the provider failed"
	r.Attempts = []storage.Attempt{{Run: r.Run, ProviderID: id, HTTPStatus: 500, Counted: true}}
	if _, err := store.SwapRecord(t.Context(), r, v); err != nil {
		t.Fatal(err)
	}
}

func TestAcceptWritesTheQueuedRecordOfANewJobOnce(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		want := tasks.ExistingJob{Created: true, State: "queued", Run: 1, Fingerprint: "f1"}
		for _, created := range []bool{true, false} {
			got, err := store.Accept(t.Context(), entry("NEW", 0))
			if err != nil {
				t.Fatal(err)
			}
			want.Created, want.Base = created, tasks.Base{}
			if created {
				rec, v, err := store.Record(t.Context(), tasks.Passport, "NEW")
				if err != nil {
					t.Fatal(err)
				}
				want.Base = tasks.Base{ETag: v.ETag, CreatedAt: rec.CreatedAt}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		r, _, err := store.Record(t.Context(), tasks.Passport, "NEW")
		if err != nil || r.State != storage.StateQueued || r.SealedInput != "kq1.1.aW4" || r.Lane != tasks.Live {
			t.Errorf("record %+v, %v", r, err)
		}
	})
}

func TestAcceptBeginsTheNextRunOfAFinishedJobAndKeepsItsAttempts(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		mustAccept(t, store, entry("AGAIN", 1))
		if s := mustAccept(t, store, entry("AGAIN", 2)); s.Created {
			t.Error("run 2 began while run 1 was not final")
		}
		finished(t, store, "AGAIN")
		if s := mustAccept(t, store, entry("AGAIN", 1)); s.Created || !s.Final || s.State != "failed" {
			t.Errorf("run 1 once more: %+v, want the existing job", s)
		}
		if s := mustAccept(t, store, entry("AGAIN", 3)); s.Created {
			t.Error("run 3 began after run 1")
		}
		other := entry("AGAIN", 2)
		other.Fingerprint = "f2"
		if s := mustAccept(t, store, other); s.Created || s.Fingerprint != "f1" {
			t.Errorf("another input: %+v, want the existing job", s)
		}

		if s := mustAccept(t, store, entry("AGAIN", 2)); !s.Created || s.Run != 2 || s.Final {
			t.Errorf("run 2: %+v, want it created", s)
		}
		r, _, err := store.Record(t.Context(), tasks.Passport, "AGAIN")
		if err != nil {
			t.Fatal(err)
		}
		if r.State != storage.StateQueued || r.Run != 2 || r.Code != "" || len(r.Attempts) != 1 {
			t.Errorf("run 2's record: %+v", r)
		}
	})
}

func mustAccept(t *testing.T, store *storage.Store, e tasks.JobSpec) tasks.ExistingJob {
	t.Helper()
	s, err := store.Accept(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOfManyRetriesOfAFinishedJobExactlyOneBeginsTheRun(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		store := server.Store(t)
		mustAccept(t, store, entry("RETRY", 1))
		finished(t, store, "RETRY")
		lost := errors.New("not created")
		winners := race(t, 16, func(int) (string, error) {
			s, err := store.Accept(t.Context(), entry("RETRY", 2))
			if err == nil && !s.Created {
				err = lost
			}
			return "", err
		}, lost)
		if len(winners) != 1 {
			t.Errorf("%d began run 2, want 1", len(winners))
		}
	})
}
