// Package qr finds QR codes in pictures of documents, also those that a phone's reader would give up on: small, turned,
// blurred, badly recompressed, partly covered, or several in one picture.
//
// It answers two questions. Is there a code that can be read? And is there something that looks like one, although
// this package cannot read it? Proof of a mask needs both, and must not trust a single reader: gozxing's own detector
// takes the code's dimension from one estimate of the module size and so misses about half of the dense codes that
// zbar reads. Here only the error correction and the text parsing are gozxing's; the search is in four steps, each in a
// file of its own: threshold.go (what is dark), finder.go (the 1:1:3:1:1 squares), triple.go (which three belong
// together), sample.go and decode.go (a loop over the possible dimensions until one reads).
//
// The package works on memory only, starts no goroutine, and keeps nothing: what a code says is returned in a
// redacting type and is held nowhere else. It must not log.
package qr

import (
	"image"
	"math"

	"github.com/kycq/kycq/internal/redact"
)

// Point is a place in an image, in pixels; the centre of the top left pixel is (0.5, 0.5).
type Point struct{ X, Y float64 }

// Code is a QR code, or what is left of one.
type Code struct {
	// Readable says that the error correction of every block of the code succeeded: any good reader gets the content.
	Readable bool
	// Text is the content, as far as it is text. It may be empty for a readable code with binary content.
	Text redact.Personal
	// Modules is the number of modules along a side, 21 to 177; 0 where Finders is below 3 or no dimension fits.
	Modules int
	// Finders is how many of the code's three finder patterns were seen: 3, or 1 for a pattern that stands alone.
	Finders int
	// Corners are the outer corners of the code without its quiet zone: top left, top right, bottom right, bottom left
	// as the code sees itself, so that a turned code has turned corners. For a lone pattern: the pattern's own.
	Corners [4]Point
}

// Bounds is the smallest upright rectangle that holds the code.
func (c Code) Bounds() image.Rectangle {
	lo, hi := c.Corners[0], c.Corners[0]
	for _, p := range c.Corners[1:] {
		lo = Point{min(lo.X, p.X), min(lo.Y, p.Y)}
		hi = Point{max(hi.X, p.X), max(hi.Y, p.Y)}
	}
	return image.Rect(int(math.Floor(lo.X)), int(math.Floor(lo.Y)), int(math.Ceil(hi.X)), int(math.Ceil(hi.Y)))
}

// Find lists the codes in an image: the readable ones, the unreadable ones of which all three finder patterns show, and
// lone finder patterns. It takes some 20 to 100 ms of CPU for 1600×1000 pixels, and for memory one to three bytes a
// pixel beside the image. The work is bounded, also on a texture with hundreds of false patterns.
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

// Contains tells whether a point lies within the code's corners.
func (c Code) Contains(p Point) bool {
	left, right := false, false
	for i, a := range c.Corners {
		b := c.Corners[(i+1)%4]
		side := (b.X-a.X)*(p.Y-a.Y) - (b.Y-a.Y)*(p.X-a.X)
		left, right = left || side < 0, right || side > 0
	}
	return !left || !right
}
