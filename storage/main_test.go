package storage_test

import (
	"bytes"
	"image"
	"image/png"
	"testing"

	"go.uber.org/goleak"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func queued(id string) *storage.Record {
	return &storage.Record{
		JobSpec: tasks.JobSpec{
			Kind: tasks.Aadhaar, VerificationID: id, Lane: tasks.Bulk, Run: 1, SealedInput: "kq1.1.c2VhbGVk", Fingerprint: "f1",
		},
		State: storage.StateQueued,
	}
}

// created creates a record.
func created(t *testing.T, store *storage.Store, id string) (*storage.Record, storage.Version) {
	t.Helper()
	r := queued(id)
	v, err := store.CreateRecord(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return r, v
}

// specimenPNG returns a PNG of 30 x 20 pixels, padded to n bytes.
func specimenPNG(n int) []byte {
	var out bytes.Buffer
	if err := png.Encode(&out, image.NewGray(image.Rect(0, 0, 30, 20))); err != nil {
		panic(err)
	}
	return append(out.Bytes(), make([]byte, max(0, n-out.Len()))...)
}
