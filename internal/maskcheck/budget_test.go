package maskcheck

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/kycq/kycq/internal/dev/specimen/distort"
	"github.com/kycq/kycq/internal/qr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hollowPNG announces an image and holds a few bytes.
func hollowPNG(w, h uint32, depth, colours byte) []byte {
	head := binary.BigEndian.AppendUint32(nil, w)
	head = binary.BigEndian.AppendUint32(head, h)
	head = append(head, depth, colours, 0, 0, 0)
	out := append([]byte{}, pngStart...)
	for _, chunk := range []struct {
		kind string
		data []byte
	}{{"IHDR", head}, {"IDAT", []byte{0x78, 0x9c}}} {
		out = binary.BigEndian.AppendUint32(out, uint32(len(chunk.data)))
		body := append([]byte(chunk.kind), chunk.data...)
		out = binary.BigEndian.AppendUint32(append(out, body...), crc32.ChecksumIEEE(body))
	}
	return out
}

// hollowJPEG takes a small image's file and announces another size.
func hollowJPEG(w, h uint16) []byte {
	body := distort.JPEG(image.NewRGBA(image.Rect(0, 0, 8, 8)), 50)
	at := bytes.Index(body, []byte{0xff, 0xc0})
	binary.BigEndian.PutUint16(body[at+5:], h)
	binary.BigEndian.PutUint16(body[at+7:], w)
	return body
}

// Not parallel: it counts what the process allocates.
func TestDecompressionBombsCostLessThan16MiB(t *testing.T) { //nolint:paralleltest // see above
	for name, test := range map[string]struct {
		body []byte
		want Code
	}{
		"59-byte PNG of 12000×12000":      {hollowPNG(12000, 12000, 8, 6), TooManyPixels},
		"PNG at the limit":                {hollowPNG(6300, 6300, 16, 6), Undecodable},
		"PNG with sides that overflow":    {hollowPNG(1<<31-1, 1<<31-1, 8, 6), Undecodable},
		"PNG of one long row":             {hollowPNG(39_000_000, 1, 8, 0), Undecodable},
		"JPEG of 12000×12000":             {hollowJPEG(12000, 12000), TooManyPixels},
		"JPEG at the limit":               {hollowJPEG(6300, 6300), Undecodable},
		"JPEG of the largest sides":       {hollowJPEG(65535, 65535), TooManyPixels},
		"JPEG without a height (0×12000)": {hollowJPEG(12000, 0), Undecodable},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Check(t.Context(), test.body, SourceInfo{})
		runtime.ReadMemStats(&after)
		var got *UnsafeError
		if !errors.As(err, &got) || got.Code != test.want {
			t.Errorf("%s: %v; want %s", name, err, test.want)
		}
		if cost := after.TotalAlloc - before.TotalAlloc; cost >= 16<<20 {
			t.Errorf("%s cost %d MiB", name, cost>>20)
		}
	}
}

func TestCostFollowsWhatTheDecoderAllocates(t *testing.T) {
	t.Parallel()
	const pixels = 1000 * 1000
	for name, test := range map[string]struct {
		body []byte
		want int64 // bytes a pixel, the search's two included
	}{
		"grey PNG":             {hollowPNG(1000, 1000, 8, 0), 3},
		"PNG of 16 bits grey":  {hollowPNG(1000, 1000, 16, 0), 5},
		"PNG of colours":       {hollowPNG(1000, 1000, 8, 2), 10},
		"PNG with alpha":       {hollowPNG(1000, 1000, 8, 6), 10},
		"PNG of 64 bits":       {hollowPNG(1000, 1000, 16, 6), 14},
		"JPEG":                 {hollowJPEG(1000, 1000), 5},
		"JPEG, progressive":    {bytes.Replace(hollowJPEG(1000, 1000), []byte{0xff, 0xc0}, []byte{0xff, 0xc2}, 1), 17},
		"and behind a stray 0": {bytes.Replace(hollowJPEG(1000, 1000), []byte{0xff, 0xc0}, []byte{0, 0xff, 0xc2}, 1), 17}, // which decoders skip
	} {
		h, err := readHeader(test.body)
		if err != nil || h.cost != test.want*pixels {
			t.Errorf("%s: %d bytes, %v; want %d", name, h.cost, err, test.want*pixels)
		}
	}
}

// paced is a checker whose search for codes takes as long as the test wants.
func paced(memory int64, find func()) *checker {
	c := newChecker(memory)
	c.find = func(image.Image) ([]qr.Code, bool) {
		find()
		return nil, false
	}
	return c
}

// one is an image that costs 5 bytes a pixel to check.
func one(side int) []byte { return distort.JPEG(image.NewRGBA(image.Rect(0, 0, side, side)), 50) }

func TestImagesShareTheMemoryBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most := 0, 0
		c := paced(5*100*100*3, func() {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			running--
			mu.Unlock()
		})
		body := one(100)
		var all sync.WaitGroup
		start := time.Now()
		for range 12 {
			all.Go(func() {
				if _, err := c.check(t.Context(), body, SourceInfo{}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(start); most != 3 || took != 4*time.Second {
			t.Errorf("%d images at once, %v for all; the budget is for 3, so 4s", most, took)
		}
	})
}

func TestAnImageLargerThanTheBudgetRunsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := paced(1000, func() { time.Sleep(time.Second) })
		body := one(100)
		var all sync.WaitGroup
		start := time.Now()
		for range 3 {
			all.Go(func() {
				if _, err := c.check(t.Context(), body, SourceInfo{}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("three took %v, want one after the other", took)
		}
	})
}

func TestACancelledCheckEndsWithTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	c := paced(1<<20, cancel)
	if _, err := c.check(ctx, one(100), SourceInfo{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled during the search: %v", err)
	}
	cancel()
	if _, err := newChecker(1<<20).check(ctx, one(100), SourceInfo{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before the check: %v", err)
	}
}

func TestAPanicIsAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := paced(1<<20, func() { panic("index out of range") })
		_, err := c.check(t.Context(), one(100), SourceInfo{})
		var unsafe *UnsafeError
		if !errors.As(err, &unsafe) || unsafe.Code != Undecodable {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if !c.memory.TryAcquire(c.size) {
			t.Error("a panic kept the memory")
		}
	})
}
