package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
	"github.com/kycq/kycq/tasks"
)

func TestTheExampleEnqueuesBothKindsAndWaits(t *testing.T) {
	config := storagetest.StartFake(t).Config()
	store, err := storage.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Buckets().Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	keyset, err := seal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := keyset.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keyset.json")
	if err := os.WriteFile(file, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KYCQ_KEYSET_FILE", file)
	t.Setenv("AWS_ACCESS_KEY_ID", config.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", config.SecretAccessKey.Reveal())

	redis := miniredis.RunT(t)
	for kind, image := range map[tasks.Kind]string{tasks.Passport: "", tasks.Aadhaar: "../cards/pvc-scan.png"} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		go finish(ctx, t, store, kind)
		if err := run(ctx, redis.Addr(), config.Endpoint, "EXAMPLE", image); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// finish writes the result of the job once it is there, as a worker does.
func finish(ctx context.Context, t *testing.T, store *storage.Store, kind tasks.Kind) {
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for ; ctx.Err() == nil; <-poll.C {
		r, v, err := store.Record(ctx, kind, "EXAMPLE")
		if err != nil {
			continue
		}
		r.State = storage.StateValid
		if _, err := store.SwapRecord(ctx, r, v); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
		return
	}
}
