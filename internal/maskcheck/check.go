package maskcheck

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"math"
	"strings"

	"golang.org/x/sync/semaphore"

	"github.com/kycq/kycq/internal/qr"
)

const (
	// decodeBudget is the memory in bytes for all images being checked: about 15 photos of 2 MP, or two of 12 MP. An image
	// that costs more takes the whole budget.
	decodeBudget = 96 << 20
	// maxCost is the most memory for one image. A baseline JPEG of 40 MP costs 200 MB, a progressive one 680 MB.
	maxCost = 512 << 20
)

// A checker holds the memory budget. The process has one.
type checker struct {
	memory *semaphore.Weighted
	size   int64 // of memory, in bytes
	find   func(image.Image) (codes []qr.Code, busy bool)
	// readable lets codes pass that are visible but cannot be read.
	readable bool
}

func newChecker(memory int64) *checker {
	return &checker{memory: semaphore.NewWeighted(memory), size: memory, find: qr.Find}
}

var process = newChecker(decodeBudget)

// Check checks a masked image. It returns an *UnsafeError if the image must not be stored as masked, or the error of ctx if it
// ended during the check. It is safe for concurrent use; calls with large images wait for each other.
func Check(ctx context.Context, masked []byte, source SourceInfo) (Report, error) {
	return process.check(ctx, masked, source)
}

// CheckReadable is Check for an operator whose vendor leaves parts of codes visible: a visible code that cannot be read here
// is a reason for a review. Another program may read what this one cannot.
func CheckReadable(ctx context.Context, masked []byte, source SourceInfo) (Report, error) {
	c := *process // it shares the memory budget
	c.readable = true
	return c.check(ctx, masked, source)
}

func (c *checker) check(ctx context.Context, masked []byte, source SourceInfo) (Report, error) {
	if len(masked) > MaxBytes {
		return Report{}, unsafe(TooLarge)
	}
	sum := sha256.Sum256(masked)
	same := strings.EqualFold(hex.EncodeToString(sum[:]), source.SHA256)
	if same && source.Body == nil {
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
	report, err := c.look(ctx, masked, h, source.Body)
	if code := (*UnsafeError)(nil); same && errors.As(err, &code) {
		return Report{}, unsafe(SameBytes)
	}
	if err != nil {
		return Report{}, err
	}
	if !known || source.SHA256 == "" {
		report.addReview(ReviewSourceUnknown)
	}
	return report, nil
}

func (r *Report) addReview(reason string) {
	if r.ReviewReason != "" && reason != "" {
		r.ReviewReason += ","
	}
	r.ReviewReason += reason
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

// Clean reduces an image that a person has approved to its pixels, as Check does, without checking them.
func Clean(ctx context.Context, body []byte) (Report, error) {
	h, err := readHeader(body)
	switch {
	case err != nil:
		return Report{}, err
	case h.cost > maxCost || len(body) > MaxBytes:
		return Report{}, unsafe(TooLarge)
	}
	c := newChecker(h.cost)
	c.find = func(image.Image) ([]qr.Code, bool) { return nil, false }
	return c.look(ctx, body, h, nil)
}

// look decodes the image, checks its pixels and encodes them. It holds its share of the memory budget meanwhile. The source is
// reduced before the answer is decoded; if it is nil, there is no comparison.
func (c *checker) look(ctx context.Context, body []byte, h header, source []byte) (r Report, err error) {
	share := h.cost
	var sourceHeader header
	if source != nil {
		if sourceHeader, err = readHeader(source); err != nil || sourceHeader.cost > maxCost {
			return Report{}, unsafe(NotComparable)
		}
		share = max(share, sourceHeader.cost)
	}
	share = min(share, c.size)
	if err := c.memory.Acquire(ctx, share); err != nil {
		return Report{}, fmt.Errorf("mask check: wait for memory: %w", err)
	}
	defer c.memory.Release(share)
	defer func() {
		if recover() != nil {
			r, err = Report{}, unsafe(Undecodable)
		}
	}()
	var before *original
	if source != nil {
		if before, err = openOriginal(ctx, source, sourceHeader); err != nil {
			return Report{}, err
		}
	}
	p, err := openPicture(ctx, body, h)
	if err != nil {
		return Report{}, err
	}
	r = Report{Width: h.width, Height: h.height}
	unknown := p.toSRGB(p.icc)
	if r.ReviewReason, err = c.inspect(ctx, p.pixels); err != nil {
		return Report{}, err
	}
	if unknown {
		r.addReview(ReviewColourProfile)
	}
	if before != nil {
		if err := c.compare(before, p.pixels, &r); err != nil {
			return Report{}, err
		}
	}
	r.File, r.Ext, r.ContentType, err = p.encode()
	if err != nil {
		return Report{}, fmt.Errorf("mask check: encode: %w", err)
	}
	return r, nil
}

func openOriginal(ctx context.Context, source []byte, h header) (*original, error) {
	bright, err := openBright(ctx, source, h)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("mask check: %w", ctx.Err())
	case err != nil:
		return nil, unsafe(NotComparable)
	}
	o := readOriginal(bright)
	return &o, nil
}

// inspect returns the reasons for a review, or an *UnsafeError.
func (c *checker) inspect(ctx context.Context, pixels image.Image) (review string, err error) {
	codes, busy := c.find(pixels)
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("mask check: %w", ctx.Err())
	case busy:
		return "", unsafe(TooBusy)
	}
	return c.judge(pixels, codes)
}

// compare adds what the comparison with the source shows.
func (c *checker) compare(before *original, pixels image.Image, r *Report) error {
	uncovered, review, err := before.compare(pixels)
	if err != nil {
		return err
	}
	r.addReview(review)
	if review, err = c.judge(pixels, uncovered); err != nil {
		return err
	}
	if !strings.Contains(r.ReviewReason, review) {
		r.addReview(review)
	}
	return nil
}
