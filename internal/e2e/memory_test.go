package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// BenchmarkMemoryOf64ImagesAtOnce processes 64 images of 10 MB at the same time in one worker, and reports its peak resident
// memory. Images are streamed from S3 into the request: the limit is 256 MiB.
func BenchmarkMemoryOf64ImagesAtOnce(b *testing.B) {
	const jobs = 64
	for range b.N {
		s := newStack(b)
		s.env = append(s.env, "KYCQ_AADHAAR_CONCURRENCY="+strconv.Itoa(jobs), "KYCQ_CASHFREE_TIMEOUT=2m", "KYCQ_AADHAAR_RATE=1000/s")
		path := filepath.Join(s.dir, "large.jpg")
		card := append(cardJPEG(), make([]byte, tasks.MaxImageBytes)...)[:tasks.MaxImageBytes]
		if err := os.WriteFile(path, card, 0o600); err != nil {
			b.Fatal(err)
		}
		arrived, release := make(chan struct{}, jobs), make(chan struct{})
		for i := range jobs {
			id := fmt.Sprintf("large-%d", i)
			s.vendor.plan(id, func(w http.ResponseWriter, v *vendor, id string) {
				arrived <- struct{}{}
				<-release
				valid(w, v, id)
			})
			if _, stderr, code := s.run(nil, "enqueue", "aadhaar", "--id", id, "--image", path, "--lane", "bulk"); code != 0 {
				b.Fatal(stderr)
			}
		}
		worker := s.start("worker")
		for range jobs {
			<-arrived
		}
		close(release)
		for i := range jobs {
			if rec := s.wait("aadhaar", fmt.Sprintf("large-%d", i)); rec.State != storage.StateValid {
				b.Errorf("%s: %s %q", rec.VerificationID, rec.State, rec.Code)
			}
		}
		b.ReportMetric(float64(peakMemory(b, worker.cmd.Process.Pid))/(1<<20), "peak-MiB")
		worker.terminate(b)
	}
}

// peakMemory is the peak resident memory of a process in bytes.
func peakMemory(b *testing.B, pid int) int64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Skip("needs /proc of Linux: ", err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return kib << 10
		}
	}
	b.Fatal("no VmHWM")
	return 0
}
