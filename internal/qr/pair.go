package qr

import (
	"cmp"
	"math"
	"slices"
)

const (
	maxPairs  = 12  // tried per pass, the most alike first
	pairReach = 3.0 // modules around the expected place in which the third pattern's remains are looked for
)

// pairs completes two patterns to triples: a code whose third pattern is covered or damaged can still be read. The two may be
// adjacent or opposite, so a pair gives six guesses.
func (f *field) pairs(found []pattern) []triple {
	type pair struct {
		a, b   pattern
		spread float64
	}
	var likely []pair
	for i, a := range found {
		for _, b := range found[i+1:] {
			spread := math.Abs(math.Log(a.chord / b.chord))
			if modules := distance(a.at, b.at)/min(a.chord, b.chord)*7 + 7; a.bright == b.bright && spread < 0.25 && modules > 17 && modules < 350 {
				likely = append(likely, pair{a, b, spread})
			}
		}
	}
	slices.SortStableFunc(likely, func(p, q pair) int { return cmp.Compare(p.spread, q.spread) })
	var out []triple
	for _, p := range likely[:min(len(likely), maxPairs)] {
		ux, uy := p.b.at.X-p.a.at.X, p.b.at.Y-p.a.at.Y
		for _, side := range []float64{1, -1} {
			vx, vy := -uy*side, ux*side // (ux, uy) turned by 90°
			out = append(
				out,
				f.completed(p.a, p.b, Point{p.a.at.X + vx, p.a.at.Y + vy}, false),
				f.completed(p.b, p.a, Point{p.b.at.X + vx, p.b.at.Y + vy}, false),
				f.completed(p.a, p.b, Point{p.a.at.X + (ux+vx)/2, p.a.at.Y + (uy+vy)/2}, true),
			)
		}
	}
	return out
}

// completed builds the triple of two patterns and the expected place of the third, which is the top left one if a and b
// stand at opposite corners and else a neighbour of a, the top left one.
func (f *field) completed(a, b pattern, third Point, opposite bool) triple {
	c := pattern{at: third, chord: (a.chord + b.chord) / 2, seen: 1, bright: a.bright}
	tl, x, y := a, b, c
	if opposite {
		tl, x, y = c, a, b
	}
	t, ok := corner(tl, x, y)
	if !ok {
		return triple{}
	}
	axisX := Point{t.tr.at.X - t.tl.at.X, t.tr.at.Y - t.tl.at.Y}
	scale := t.module / math.Hypot(axisX.X, axisX.Y)
	axisX = Point{axisX.X * scale, axisX.Y * scale}
	found := f.remains(third, axisX, a.bright)
	for _, p := range []*pattern{&t.tl, &t.tr, &t.bl} {
		if p.at == third {
			p.at = found
		}
	}
	return t
}

// remains returns the centre of the best match of a finder pattern near a place, or the place itself. step is one module
// along the upper side of the code.
func (f *field) remains(near, step Point, bright bool) Point {
	best, at := 0.3, near
	for v := -pairReach; v <= pairReach; v += 0.5 {
		for u := -pairReach; u <= pairReach; u += 0.5 {
			p := Point{near.X + u*step.X - v*step.Y, near.Y + u*step.Y + v*step.X}
			if score := f.likeness(p, step, bright); score > best {
				best, at = score, p
			}
		}
	}
	return at
}

// likeness compares 7×7 modules with a finder pattern: 1 is perfect, 0 is chance.
func (f *field) likeness(middle, step Point, bright bool) float64 {
	match, total := 0.0, 0.0
	for v := -3; v <= 3; v++ {
		for u := -3; u <= 3; u++ {
			level := f.levelAt(offset(middle, step, u, v))
			total += math.Abs(level)
			if (max(abs(u), abs(v)) == 2) != bright {
				match += level
			} else {
				match -= level
			}
		}
	}
	if total == 0 {
		return 0
	}
	return match / total
}

// offset goes u modules along step and v across it.
func offset(from, step Point, u, v int) Point {
	x, y := float64(u), float64(v)
	return Point{from.X + x*step.X - y*step.Y, from.Y + x*step.Y + y*step.X}
}
