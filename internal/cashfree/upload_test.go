package cashfree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/kycq/kycq/internal/redact"
)

func personal(s string) redact.Personal { return redact.NewPersonal(s) }

// countingReader counts its reads.
type countingReader struct {
	r     io.Reader
	reads atomic.Int32
}

func (c *countingReader) Read(p []byte) (int, error) {
	c.reads.Add(1)
	return c.r.Read(p)
}

// zeros is an endless image.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

var errDisk = errors.New("object storage: checksum does not match")

// TestABrokenSourceNeverCompletesARequest: for each error of a source, the server must receive an incomplete request and the
// reply must be SourceBroken.
func TestABrokenSourceNeverCompletesARequest(t *testing.T) {
	t.Parallel()
	const size = 200_000
	of := func(n int) io.Reader { return io.LimitReader(zeros{}, int64(n)) }
	tests := map[string]struct {
		source io.Reader
		want   error
	}{
		"empty":                   {of(0), errSourceShort},
		"short by one":            {of(size - 1), errSourceShort},
		"long by one":             {of(size + 1), errSourceLong},
		"endless":                 {zeros{}, errSourceLong},
		"fails at once":           {iotest.ErrReader(errDisk), errDisk},
		"fails in the middle":     {io.MultiReader(of(size/2), iotest.ErrReader(errDisk)), errDisk},
		"fails instead of ending": {io.MultiReader(of(size), iotest.ErrReader(errDisk)), errDisk},
		"fails with its last byte": {io.MultiReader(of(size-1), iotest.DataErrReader(io.MultiReader(
			strings.NewReader("x"), iotest.ErrReader(errDisk)))), errDisk},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := make(chan bool, 1)
			c := vendor(t, func(_ http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				whole <- err == nil
			})
			r := c.MaskAadhaar(t.Context(), MaskRequest{ProviderID: testID, Image: tt.source, Size: size, ContentType: "image/png", Ext: "png"})
			if r.Class != SourceBroken || !errors.Is(r.Err, tt.want) {
				t.Errorf("got %v (%v)", r, r.Err)
			}
			select {
			case w := <-whole:
				if w {
					t.Error("the server took the request for a whole one")
				}
			default: // the headers never left
			}
		})
	}
}

func TestSourcesOfTheAnnouncedSize(t *testing.T) {
	t.Parallel()
	image := bytes.Repeat([]byte("SPECIMEN"), 5000)
	sources := map[string]io.Reader{
		"byte by byte":  iotest.OneByteReader(bytes.NewReader(image)),
		"half reads":    iotest.HalfReader(bytes.NewReader(image)),
		"end with data": iotest.DataErrReader(bytes.NewReader(image)),
	}
	for name, source := range sources {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := vendor(t, func(w http.ResponseWriter, r *http.Request) {
				if _, header, err := r.FormFile("image"); err != nil || header.Size != int64(len(image)) {
					t.Errorf("%v: %v", header, err)
				}
				_, _ = io.WriteString(w, okMasked)
			})
			r := c.MaskAadhaar(t.Context(), MaskRequest{ProviderID: testID, Image: source, Size: int64(len(image)), ContentType: "image/png", Ext: "png"})
			if r.Class != Valid {
				t.Errorf("got %v (%v)", r, r.Err)
			}
		})
	}
}

// TestAnAbandonedRequestSendsNothing: after NotSent was reported, a late transport must not send anything.
func TestAnAbandonedRequestSendsNothing(t *testing.T) {
	t.Parallel()
	up := &upload{prelude: []byte("{}")}
	if !up.sent.abandon() {
		t.Fatal("nothing has left")
	}
	if n, err := up.Read(make([]byte, 9)); n != 0 || !errors.Is(err, errCallEnded) {
		t.Errorf("got %d bytes (%v)", n, err)
	}
	gone := &upload{prelude: []byte("{}")}
	if _, err := gone.Read(make([]byte, 1)); err != nil || gone.sent.abandon() {
		t.Errorf("a byte has left, the request cannot be taken back (%v)", err)
	}
}

func TestNoImageIsNotSent(t *testing.T) {
	t.Parallel()
	c := vendor(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
	for _, r := range []MaskRequest{{Size: 5}, {Image: zeros{}}, {Image: zeros{}, Size: -1}} {
		if got := c.MaskAadhaar(t.Context(), r); got.Class != NotSent || got.Err == nil {
			t.Errorf("got %v (%v)", got, got.Err)
		}
	}
}

// TestAHangingSourceDoesNotBlockTheCall: net/http waits for a Read of the body even after the context has ended.
func TestAHangingSourceDoesNotBlockTheCall(t *testing.T) {
	t.Parallel()
	c := vendor(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) },
		func(cfg *Config) { cfg.Timeout = 300 * time.Millisecond })
	source, writer := io.Pipe()
	r := c.MaskAadhaar(t.Context(), MaskRequest{ProviderID: testID, Image: source, Size: 5, ContentType: "image/png", Ext: "png"})
	if r.Class != Lost || !errors.Is(r.Err, context.DeadlineExceeded) || r.Duration > 5*time.Second {
		t.Errorf("got %v (%v)", r, r.Err)
	}
	_ = writer.Close()
}

// TestUploadsDoNotBufferTheImage measures the allocated bytes of client and server for ten uploads of 10 MB.
func TestUploadsDoNotBufferTheImage(t *testing.T) { // not parallel: it measures the whole process
	const size, calls = 10 << 20, 10
	c := vendor(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, okMasked)
	})
	upload := func() {
		r := c.MaskAadhaar(t.Context(), MaskRequest{
			ProviderID: testID, Image: io.LimitReader(zeros{}, size), Size: size, ContentType: "image/png", Ext: "png",
		})
		if r.Class != Valid {
			t.Fatalf("got %v (%v)", r, r.Err)
		}
	}
	upload()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range calls {
		upload()
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / calls; each > 512<<10 {
		t.Errorf("%d bytes are allocated for each upload of %d", each, size)
	}
}

func BenchmarkMaskAadhaar(b *testing.B) {
	for _, size := range []int64{100 << 10, 10 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			c := vendor(b, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = io.WriteString(w, okMasked)
			})
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				r := c.MaskAadhaar(b.Context(), MaskRequest{
					ProviderID: testID, Image: io.LimitReader(zeros{}, size), Size: size, ContentType: "image/png", Ext: "png",
				})
				if r.Class != Valid {
					b.Fatalf("got %v (%v)", r, r.Err)
				}
			}
		})
	}
}

func TestARequestThatIsLateDoesNotStart(t *testing.T) {
	t.Parallel()
	late := false
	s := &sendState{late: func() bool { return late }}
	late = true
	if s.start() || !s.abandon() {
		t.Error("a process that woke up after the call's time has sent its request")
	}
	s = &sendState{late: func() bool { return late }}
	late = false
	if !s.start() || s.abandon() {
		t.Error("a request on time was not sent")
	}
	late = true
	if !s.start() {
		t.Error("a request that has started was cut")
	}
}
