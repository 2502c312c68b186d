package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
)

func TestAStreamOfAnyLengthArrivesWhole(t *testing.T) {
	t.Parallel()
	store := storagetest.New(t)
	for _, size := range []int{0, 10, 8 << 20, 8<<20 + 1, 20 << 20} {
		chunk := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
		err := store.PutStream(t.Context(), "batches/b-00000000/report.csv", "text/csv", func(w io.Writer) error {
			for left := size; left > 0; {
				n, err := w.Write(chunk[:min(left, len(chunk))])
				if err != nil {
					return err
				}
				left -= n
			}
			return nil
		})
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		body, _, err := store.Object(t.Context(), "batches/b-00000000/report.csv")
		if err != nil || len(body) != size || size > 0 && !bytes.HasPrefix(body, chunk[:min(size, 16)]) {
			t.Errorf("%d bytes came back as %d: %v", size, len(body), err)
		}
	}
}

func TestAStreamThatFailsIsNotSeen(t *testing.T) {
	t.Parallel()
	store := storagetest.New(t)
	broken := errors.New("broken")
	for _, size := range []int{10, 9 << 20} {
		key := fmt.Sprintf("batches/b-00000000/%d", size)
		err := store.PutStream(t.Context(), key, "text/csv", func(w io.Writer) error {
			if _, err := w.Write(make([]byte, size)); err != nil {
				return err
			}
			return broken
		})
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
		if _, _, err := store.Object(t.Context(), key); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%d bytes of a failed stream are there: %v", size, err)
		}
	}
	if err := store.PutStream(t.Context(), "records/x", "text/csv", func(io.Writer) error { return nil }); err == nil {
		t.Error("a stream was put outside of batches/ and audit/")
	}
}

func TestFoldersAreNamedWithoutReadingWhatIsInThem(t *testing.T) {
	t.Parallel()
	store := storagetest.New(t)
	for _, key := range []string{"batches/a-00000000/batch.json", "batches/a-00000000/manifest/p/000000", "batches/b-00000000/batch.json", "batches/_open/b-00000000"} {
		if err := store.PutObject(t.Context(), key, []byte("{}"), "application/json"); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for name, err := range store.Folders(t.Context(), "batches/") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	if fmt.Sprint(names) != "[_open a-00000000 b-00000000]" {
		t.Errorf("got %v", names)
	}
}
