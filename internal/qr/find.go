// Package qr finds QR codes in pictures of documents: also small, rotated, blurred, recompressed and partly covered codes,
// and several in one picture.
//
// It reports codes that can be read, and finder patterns of codes that it cannot read. The detector of gozxing derives the
// dimension of a code from one estimate of the module size and misses about half of the dense codes that zbar reads. So
// this package uses only the error correction and text parsing of gozxing. The search has four steps: threshold.go (dark
// and light pixels), finder.go (the 1:1:3:1:1 squares), triple.go (three squares of one code), sample.go and decode.go (the
// possible dimensions until one can be decoded).
//
// The package starts no goroutines, keeps no state and does not log. The content of a code is returned in a redacting type.
package qr

import (
	"image"
	"math"

	"github.com/kycq/kycq/internal/redact"
)

// Point is a place in an image, in pixels; the centre of the top left pixel is (0.5, 0.5).
type Point struct{ X, Y float64 }

// Code is a QR code or a finder pattern.
type Code struct {
	// Readable: the error correction of every block succeeded, so a good reader can read the content.
	Readable bool
	// Text is the content if it is text. It may be empty for a readable code with binary content.
	Text redact.Personal
	// Modules is the number of modules along a side, 21 to 177; 0 if Finders is below 3 or no dimension fits.
	Modules int
	// Finders is the number of detected finder patterns: 3, or 1 for a single pattern.
	Finders int
	// Corners are the outer corners of the code without its quiet zone: top left, top right, bottom right, bottom left in
	// the orientation of the code. For a single pattern they are those of the pattern.
	Corners [4]Point
}

// Bounds is the bounding rectangle of the code.
func (c Code) Bounds() image.Rectangle {
	lo, hi := c.Corners[0], c.Corners[0]
	for _, p := range c.Corners[1:] {
		lo = Point{min(lo.X, p.X), min(lo.Y, p.Y)}
		hi = Point{max(hi.X, p.X), max(hi.Y, p.Y)}
	}
	return image.Rect(int(math.Floor(lo.X)), int(math.Floor(lo.Y)), int(math.Ceil(hi.X)), int(math.Ceil(hi.Y)))
}

// Find returns the readable codes in an image, the unreadable codes with all three finder patterns, and single finder
// patterns. It takes 20 to 100 ms of CPU for 1600×1000 pixels and one to three bytes of memory per pixel. The work is
// bounded, also for textures with hundreds of false patterns.
func Find(img image.Image) []Code {
	if img.Bounds().Empty() {
		return nil
	}
	s := search{left: maxTries}
	for _, g := range lumas(img) {
		for scale := 1; ; scale *= 2 {
			s.pass(localField(g), float64(scale))
			s.pass(globalField(g), float64(scale))
			if scale == maxScale || min(g.Rect.Dx(), g.Rect.Dy()) < 2*smallest {
				break
			}
			g = halve(g)
		}
	}
	return s.codes()
}

func (c Code) scaled(by float64) Code {
	for i, p := range c.Corners {
		c.Corners[i] = Point{p.X * by, p.Y * by}
	}
	return c
}

func (c Code) middle() Point {
	var m Point
	for _, p := range c.Corners {
		m.X += p.X / 4
		m.Y += p.Y / 4
	}
	return m
}

// Contains reports whether a point is within the corners.
func (c Code) Contains(p Point) bool {
	left, right := false, false
	for i, a := range c.Corners {
		b := c.Corners[(i+1)%4]
		side := (b.X-a.X)*(p.Y-a.Y) - (b.Y-a.Y)*(p.X-a.X)
		left, right = left || side < 0, right || side > 0
	}
	return !left || !right
}
