// Package qr finds QR codes in pictures of documents: also small, rotated, tilted, faint, blurred, recompressed and partly
// covered codes, and several in one picture. It does not decode them.
//
// The search has four steps: luma.go and threshold.go (dark and light pixels), finder.go (finder patterns, the 1:1:3:1:1
// squares), triple.go and pair.go (patterns of one code), single.go (patterns without others). It runs at several scales.
// Without pair.go and timing.go, it finds the partly covered codes of 37 of 60 test cards instead of 45, and fewer faint ones.
//
// The package starts no goroutines, keeps no state and does not log.
package qr

import (
	"cmp"
	"image"
	"slices"
)

// Point is a place in an image, in pixels; the centre of the top left pixel is (0.5, 0.5).
type Point struct{ X, Y float64 }

// Code is a QR code or a single finder pattern.
type Code struct {
	// Finders is the number of detected finder patterns: 3, 2 if the third is covered and a timing pattern connects the two,
	// or 1 for a single pattern, which may be something else than a part of a code.
	Finders int
	// Corners are the outer corners of the code without its quiet zone, clockwise. If Finders is 3, they begin at the top
	// left corner of the code. For a single pattern they are those of the pattern.
	Corners [4]Point
}

const (
	maxScale = 8
	smallest = 64 // pixels; at a smaller size no code is found that was not found at the scale before
)

// Find returns the QR codes in an image, and the finder patterns that belong to none of them. It takes 25 ms of CPU for
// 1600×1000 pixels and one to three bytes of memory per pixel. The work is bounded: if an image has too many patterns, busy is
// true and the codes are incomplete. That does not depend on the speed of the machine.
func Find(img image.Image) (codes []Code, busy bool) { return find(img, true) }

// FindPrinted is Find without codes below a mask that is not opaque; it takes a third less.
func FindPrinted(img image.Image) (codes []Code, busy bool) { return find(img, false) }

func find(img image.Image, faintly bool) (codes []Code, busy bool) {
	if img.Bounds().Empty() {
		return nil, false
	}
	work := maxWork
	g := Luma(img)
	for scale := 1; ; scale *= 2 {
		for _, f := range localFields(g, faintly) {
			f.work = &work
			codes = f.search(codes, float64(scale))
		}
		if scale == maxScale || min(g.Rect.Dx(), g.Rect.Dy()) < 2*smallest {
			break
		}
		g = Halve(g)
	}
	return distinct(codes), work < 0
}

// maxWork is how many steps Find takes beyond those for each pixel: comparisons of patterns, and pixels looked at to confirm
// one. A card of 2 MP takes 200,000 and noise of 40 MP 15 million. The limit is reached in less than a second.
const maxWork = 100_000_000

// search adds the codes and single patterns in a plane that is smaller than the image by scale.
func (f *field) search(found []Code, scale float64) []Code {
	patterns := f.patterns()
	used := make(map[Point]bool)
	accept := func(t triple, finders int) {
		if !used[t.tl.at] && !used[t.tr.at] && !used[t.bl.at] {
			used[t.tl.at], used[t.tr.at], used[t.bl.at] = true, true, true
			found = append(found, t.code(finders).scaled(scale))
		}
	}
	for _, t := range triples(patterns, upright) {
		if t.distortion <= strictDistortion || f.timing(t) >= minTiming {
			accept(t, 3)
		}
	}
	singles := slices.DeleteFunc(patterns, func(p pattern) bool {
		inside := func(c Code) bool { return c.Finders > 1 && c.Contains(Point{p.at.X * scale, p.at.Y * scale}) }
		return slices.ContainsFunc(found, inside) || !f.isSingle(p)
	})
	for _, t := range triples(singles, tilted) {
		accept(t, 3)
	}
	for _, t := range pairs(singles) {
		if f.timing(t) >= minTiming {
			accept(t, 2)
		}
	}
	for _, p := range singles {
		found = append(found, p.code().scaled(scale))
	}
	return found
}

// distinct drops the codes whose middle is inside of another one with more or as many finder patterns.
func distinct(codes []Code) []Code {
	slices.SortStableFunc(codes, func(a, b Code) int { return cmp.Compare(b.Finders, a.Finders) })
	var out []Code
	for _, c := range codes {
		if !slices.ContainsFunc(out, func(o Code) bool { return o.Contains(c.middle()) }) {
			out = append(out, c)
		}
	}
	return out
}

func (c Code) scaled(by float64) Code {
	for i, p := range c.Corners {
		c.Corners[i] = Point{p.X * by, p.Y * by}
	}
	return c
}

func (c Code) middle() Point {
	return Point{(c.Corners[0].X + c.Corners[2].X) / 2, (c.Corners[0].Y + c.Corners[2].Y) / 2}
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
