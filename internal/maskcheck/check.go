package maskcheck

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"math"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/kycq/kycq/internal/qr"
)

// ErrTimeout says that decoding and searching took longer than the time budget. It says something about the machine's
// load as much as about the image, so it is not an UnsafeError: try again, a bounded number of times.
var ErrTimeout = errors.New("mask check: took longer than its time budget")

const (
	// decodeBudget is the memory for all images that are decoded at one time, in bytes: some 15 phone photos of 2 MP, or
	// two of 12 MP. One that costs more gets all of it and runs alone.
	decodeBudget = 96 << 20
	// maxCost ends the search for a way to decode an image. A baseline JPEG of 40 MP costs 200 MB, a progressive one
	// 680 MB.
	maxCost = 512 << 20
	// timeBudget covers decoding and searching, not the wait for memory. 40 MP take 1 to 3 s.
	timeBudget = 30 * time.Second
)

// A checker owns the budgets. The process has one.
type checker struct {
	memory *semaphore.Weighted
	size   int64 // of memory, in bytes
	time   time.Duration
	find   func(image.Image) []qr.Code
}

func newChecker(memory int64, limit time.Duration) *checker {
	return &checker{memory: semaphore.NewWeighted(memory), size: memory, time: limit, find: qr.Find}
}

var process = newChecker(decodeBudget, timeBudget)

// Check judges an image that is said to be masked. It gives an *UnsafeError for one that must not be stored as masked,
// ErrTimeout, or ctx's error if that ended during the wait for memory or for the decoder. It is safe to call from many
// goroutines; they wait for each other when their images are large.
func Check(ctx context.Context, masked []byte, source SourceInfo) (Report, error) {
	return process.check(ctx, masked, source)
}

func (c *checker) check(ctx context.Context, masked []byte, source SourceInfo) (Report, error) {
	if len(masked) > MaxBytes {
		return Report{}, unsafe(TooLarge)
	}
	if sum := sha256.Sum256(masked); strings.EqualFold(hex.EncodeToString(sum[:]), source.SHA256) {
		return Report{}, unsafe(SameBytes)
	}
	h, err := readHeader(masked)
	if err != nil {
		return Report{}, err
	}
	known := source.Width > 0 && source.Height > 0
	switch {
	case known && !alike(h.width, h.height, source.Width, source.Height):
		return Report{}, unsafe(Dimensions)
	case int64(len(masked)) < h.least:
		return Report{}, unsafe(Undecodable)
	case h.cost > maxCost:
		return Report{}, unsafe(TooManyPixels)
	}
	codes, err := c.search(ctx, masked, h)
	if err != nil {
		return Report{}, err
	}
	var reviews []string
	for _, code := range codes {
		if code.Readable {
			return Report{}, unsafe(ReadableQR)
		}
	}
	if len(codes) > 0 {
		reviews = append(reviews, ReviewFinderPatterns)
	}
	if h.embedded {
		reviews = append(reviews, ReviewEmbeddedImage)
	}
	if !known || source.SHA256 == "" {
		reviews = append(reviews, ReviewSourceUnknown)
	}
	return Report{h.width, h.height, h.contentType, h.ext, strings.Join(reviews, ",")}, nil
}

const (
	// maxStretch is how far the ratio of the sides may differ from the source's. The vendor may rescale and turn an
	// image, which shifts the ratio by rounding; a crop or a border of more than a thirtieth is another picture.
	maxStretch = 0.03
	// maxScale is how much larger or smaller than the source the image may be, per side.
	maxScale = 4.0
)

// alike compares long with long and short with short side, so that a turn by 90° is no difference. Two pixels are always
// within tolerance: on a thumbnail, rounding is more than three percent.
func alike(w, h, sourceW, sourceH int) bool {
	long, short := float64(max(w, h)), float64(min(w, h))
	sourceLong, sourceShort := float64(max(sourceW, sourceH)), float64(min(sourceW, sourceH))
	if scale := long / sourceLong; scale > maxScale || scale < 1/maxScale {
		return false
	}
	expected := long * sourceShort / sourceLong
	return math.Abs(short-expected) <= math.Max(2, maxStretch*expected)
}

// search decodes the image and looks for codes, in a goroutine of its own: a decoder can be abandoned but not stopped.
// Until it ends by itself it holds its share of the memory budget.
func (c *checker) search(ctx context.Context, body []byte, h header) ([]qr.Code, error) {
	share := min(h.cost, c.size)
	if err := c.memory.Acquire(ctx, share); err != nil {
		return nil, fmt.Errorf("mask check: wait for memory: %w", err)
	}
	type answer struct {
		codes []qr.Code
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		defer c.memory.Release(share)
		defer func() {
			if recover() != nil {
				done <- answer{err: unsafe(Undecodable)}
			}
		}()
		img, err := h.decode(bytes.NewReader(body))
		if err != nil {
			done <- answer{err: unsafe(Undecodable)}
			return
		}
		done <- answer{codes: c.find(img)}
	}()
	limit := time.NewTimer(c.time)
	defer limit.Stop()
	select {
	case a := <-done:
		return a.codes, a.err
	case <-limit.C:
		return nil, ErrTimeout
	case <-ctx.Done():
		return nil, fmt.Errorf("mask check: decode: %w", ctx.Err())
	}
}
