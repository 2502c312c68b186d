package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kycq/kycq/storage"
)

// TestImageHostDown runs a backfill while no image can be fetched. At most 20 images are paid for, apart from calls in flight;
// afterwards all are stored, the hold ends by itself, and no call is repeated.
func TestImageHostDown(t *testing.T) {
	t.Parallel()
	const rows, inFlight = 50, 4
	s := newStack(t).with(fmt.Sprint("KYCQ_AADHAAR_CONCURRENCY=", inFlight))
	s.vendor.imagesDown.Store(true)
	batch := s.submitCards(t, rows)
	w := s.start("worker")
	status := func() string { out, _, _ := s.run(nil, "batch", "status", batch); return out }
	eventually(t, func() bool { return strings.Contains(status(), "on hold") })
	if text, _, _ := s.run(nil, "fleet", "status"); !strings.Contains(text, "aadhaar only: image_not_fetched: 20 paid answers wait") {
		t.Errorf("fleet status:\n%s", text)
	}
	w.terminate(t) // the next worker looks at the answers at once
	if n := s.vendor.total(); n < 20 || n > 20+inFlight {
		t.Errorf("%d calls were made", n)
	}
	s.vendor.imagesDown.Store(false)
	s.start("worker")
	eventually(t, func() bool { return !strings.Contains(status(), "on hold") }) // jobs that met the hold wait for 30 s
	for id := range rows {
		if n := s.vendor.count(fmt.Sprint("card-", id+1)); n > 1 {
			t.Errorf("%d calls for row %d", n, id+1)
		} else if n == 1 {
			if rec := s.wait("aadhaar", fmt.Sprint("card-", id+1)); rec.State != storage.StateValid {
				t.Errorf("row %d is %s", id+1, rec.State)
			}
		}
	}
}

// submitCards submits a backfill of cards, and returns the id of the batch.
func (s *stack) submitCards(t *testing.T, rows int) string {
	t.Helper()
	var csv bytes.Buffer
	csv.WriteString("verification_id,image\n")
	for i := range rows {
		_, _ = fmt.Fprintf(&csv, "card-%d,card.jpg\n", i+1)
	}
	manifest := filepath.Join(s.dir, "cards.csv")
	for path, content := range map[string][]byte{manifest: csv.Bytes(), filepath.Join(s.dir, "card.jpg"): cardJPEG()} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, stderr, code := s.run(nil, "batch", "submit", "aadhaar", manifest, "--allow-duplicate-input", "--json")
	var submitted struct{ Batch string }
	if err := json.Unmarshal([]byte(out), &submitted); err != nil || code != 0 {
		t.Fatalf("batch submit: exit code %d, %v\n%s%s", code, err, out, stderr)
	}
	return submitted.Batch
}
