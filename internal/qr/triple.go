package qr

import (
	"cmp"
	"math"
	"slices"
)

// A triple is three patterns that may be the corners of one code.
type triple struct {
	tl, tr, bl pattern
	module     float64 // pixels per module, corrected for the code's angle
	distortion float64 // 0 for a perfect right angle with equal legs and equal patterns
}

// A shape limits how far three patterns may be from a right isosceles triangle.
type shape struct {
	slant                float64 // cosine of the angle
	legs                 float64 // natural logarithm of the ratio of the legs
	spread               float64 // natural logarithm of the ratio of the patterns' sizes
	modules, mostModules float64 // of the code's side
}

var (
	upright = shape{0.25, 0.30, 0.45, 17, 220}
	// tilted is a code seen at up to 50° from above. It is for patterns that are sure to be finder patterns.
	tilted = shape{0.65, 0.75, 0.80, 14, 260}
)

const (
	maxTriples = 64 // tried per plane, the least distorted first
	// strictDistortion is the most distortion of three patterns that need no timing pattern to count as a code.
	strictDistortion = 0.35
)

// triples lists the sets of three that form a right isosceles triangle, the best first.
func triples(found []pattern, within shape) []triple {
	var out []triple
	for i := range found {
		for j := range found {
			for k := j + 1; k < len(found); k++ {
				if i == j || i == k {
					continue
				}
				if t, ok := corner(found[i], found[j], found[k], within); ok {
					out = append(out, t)
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b triple) int { return cmp.Compare(a.distortion, b.distortion) })
	return out[:min(len(out), maxTriples)]
}

// corner judges a as the top left pattern of a code with b and c.
func corner(a, b, c pattern, within shape) (triple, bool) {
	if a.bright != b.bright || a.bright != c.bright {
		return triple{}, false
	}
	spread := math.Log(max(a.chord, b.chord, c.chord) / min(a.chord, b.chord, c.chord))
	if spread > within.spread {
		return triple{}, false
	}
	ux, uy := b.at.X-a.at.X, b.at.Y-a.at.Y
	vx, vy := c.at.X-a.at.X, c.at.Y-a.at.Y
	u, v := math.Hypot(ux, uy), math.Hypot(vx, vy)
	if u == 0 || v == 0 {
		return triple{}, false
	}
	slant, legs := math.Abs(ux*vx+uy*vy)/(u*v), math.Abs(math.Log(u/v))
	if slant > within.slant || legs > within.legs {
		return triple{}, false
	}
	t := triple{tl: a, tr: b, bl: c, distortion: slant + legs + spread}
	if ux*vy-uy*vx < 0 { // y grows downwards: clockwise from the top right to the bottom left
		t.tr, t.bl = c, b
	}
	// A line through a square that is turned by θ is longer than its side by 1/cos θ, up to 45°.
	turn := max(math.Abs(ux), math.Abs(uy)) / u
	t.module = (a.chord + b.chord + c.chord) / 21 * turn
	if n := t.modules(); n < within.modules || n > within.mostModules {
		return triple{}, false
	}
	return t, true
}

// modules estimates the code's side. Its error is that of the patterns' size: some percent.
func (t triple) modules() float64 {
	return (distance(t.tl.at, t.tr.at)+distance(t.tl.at, t.bl.at))/2/t.module + 7
}

// code extrapolates the corners from the centres of the patterns.
func (t triple) code(finders int) Code {
	rim := 3.5 / (t.modules() - 7)
	at := func(x, y float64) Point {
		return Point{
			t.tl.at.X + x*(t.tr.at.X-t.tl.at.X) + y*(t.bl.at.X-t.tl.at.X),
			t.tl.at.Y + x*(t.tr.at.Y-t.tl.at.Y) + y*(t.bl.at.Y-t.tl.at.Y),
		}
	}
	return Code{Finders: finders, Corners: [4]Point{at(-rim, -rim), at(1+rim, -rim), at(1+rim, 1+rim), at(-rim, 1+rim)}}
}

func distance(a, b Point) float64 { return math.Hypot(a.X-b.X, a.Y-b.Y) }
