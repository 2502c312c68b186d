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
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/kycq/kycq/internal/qr"
)

// ErrTimeout means that the check exceeded its time budget. It is not an UnsafeError, since the load of the machine may be
// the reason: the caller should try again a limited number of times.
var ErrTimeout = errors.New("mask check: time budget exceeded")

const (
	// decodeBudget is the memory in bytes for all images being decoded: about 15 photos of 2 MP, or two of 12 MP. An image
	// that costs more takes the whole budget.
	decodeBudget = 96 << 20
	// maxCost is the most memory for one image. A baseline JPEG of 40 MP costs 200 MB, a progressive one 680 MB.
	maxCost = 512 << 20
	// timeBudget covers decoding and searching, not the wait for memory. An image of 40 MP takes 1 to 3 s.
	timeBudget = 30 * time.Second
)

// A checker holds the budgets. The process has one.
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

// Check checks a masked image. It returns an *UnsafeError if the image must not be stored as masked, ErrTimeout, or the error
// of ctx if it ended during the check. It is safe for concurrent use; calls with large images wait for each other.
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
	case known && !sameShape(h.width, h.height, source.Width, source.Height):
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
	if slices.ContainsFunc(codes, func(c qr.Code) bool { return c.Finders > 1 }) {
		return Report{}, unsafe(VisibleQR)
	}
	var reviews []string
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
	// maxStretch is the tolerance of the aspect ratio. The vendor may scale and rotate an image, which changes the ratio by
	// rounding only.
	maxStretch = 0.03
	// maxScale is how many times larger or smaller than the source a side may be.
	maxScale = 4.0
)

// sameShape compares the long sides and the short sides, so a rotation by 90° is accepted. A difference of two pixels is
// always accepted: for small images, rounding exceeds maxStretch.
func sameShape(w, h, sourceW, sourceH int) bool {
	long, short := float64(max(w, h)), float64(min(w, h))
	sourceLong, sourceShort := float64(max(sourceW, sourceH)), float64(min(sourceW, sourceH))
	if scale := long / sourceLong; scale > maxScale || scale < 1/maxScale {
		return false
	}
	expected := long * sourceShort / sourceLong
	return math.Abs(short-expected) <= math.Max(2, maxStretch*expected)
}

// search decodes the image and finds QR codes, in its own goroutine, since a decoder cannot be stopped. The goroutine holds
// its share of the memory budget until it ends.
func (c *checker) search(ctx context.Context, body []byte, h header) ([]qr.Code, error) {
	share := min(h.cost, c.size)
	if err := c.memory.Acquire(ctx, share); err != nil {
		return nil, fmt.Errorf("mask check: wait for memory: %w", err)
	}
	var codes []qr.Code
	done := make(chan error, 1)
	go func() {
		defer c.memory.Release(share)
		defer func() {
			if recover() != nil {
				done <- unsafe(Undecodable)
			}
		}()
		img, err := h.decode(bytes.NewReader(body))
		if err != nil {
			done <- unsafe(Undecodable)
			return
		}
		codes = c.find(img)
		done <- nil
	}()
	limit := time.NewTimer(c.time)
	defer limit.Stop()
	select {
	case err := <-done:
		return codes, err
	case <-limit.C:
		return nil, ErrTimeout
	case <-ctx.Done():
		return nil, fmt.Errorf("mask check: decode: %w", ctx.Err())
	}
}
