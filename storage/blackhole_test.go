package storage_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/redact"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// The worst outage: connections open, nothing comes back. The times are real; all calls wait side by side.
func TestAStoreThatSwallowsEverythingEndsEachCallInTime(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes 10 seconds")
	}
	store, err := storage.Open(t.Context(), storage.Config{
		Endpoint: "http://" + blackhole(t), AccessKeyID: "a", SecretAccessKey: redact.NewSecret("b"),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, img := t.Context(), tasks.Image{Bucket: "kycq-inbox", Key: "single/A.0123456789ab", Uploaded: true}
	record := queued("A")
	record.Version = 1
	const limit = 11 * time.Second
	calls := map[string]func() error{
		"read":   func() error { _, _, err := store.Record(ctx, tasks.Aadhaar, "A"); return err },
		"create": func() error { _, err := store.CreateRecord(ctx, queued("A")); return err },
		"swap":   func() error { _, err := store.SwapRecord(ctx, record, storage.Version{ETag: `"1"`}); return err },
		"head":   func() error { _, _, err := store.ImageHead(ctx, img, 10); return err },
		"open":   func() error { _, _, err := store.OpenImage(ctx, img); return err },
		"delete": func() error { return store.DeleteUpload(ctx, img) },
		"probe":  func() error { return store.Buckets().SelfTest(ctx) },
		"upload": func() error {
			_, err := store.UploadImage(ctx, storage.SingleGroup, "A", bytes.NewReader(specimenPNG(8<<20)))
			return err
		},
	}
	var all sync.WaitGroup
	for name, call := range calls {
		all.Go(func() {
			start := time.Now()
			err := call()
			if took := time.Since(start); took > limit {
				t.Errorf("%s took %s, want at most %s", name, took, limit)
			}
			if !errors.Is(err, storage.ErrUnreachable) {
				t.Errorf("%s: got %v, want ErrUnreachable", name, err)
			}
		})
	}
	all.Wait()
}

// blackhole accepts connections, reads what comes and never answers.
func blackhole(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				_, _ = io.Copy(io.Discard, conn)
				conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		conns.Wait()
	})
	return l.Addr().String()
}

func TestACallEndsWithItsCallersContext(t *testing.T) {
	t.Parallel()
	store, err := storage.Open(t.Context(), storage.Config{
		Endpoint: "http://" + blackhole(t), AccessKeyID: "a", SecretAccessKey: redact.NewSecret("b"),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, _, err = store.Record(ctx, tasks.Aadhaar, "A")
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, storage.ErrUnreachable) {
		t.Errorf("read: got %v, want the caller's deadline alone", err)
	}
	_, err = store.CreateRecord(ctx, queued("A"))
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, storage.ErrUncertain) {
		t.Errorf("create: got %v, want the deadline and ErrUncertain", err)
	}
}
