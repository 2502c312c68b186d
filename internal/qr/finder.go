package qr

import (
	"math"
	"slices"
)

// A pattern is a finder pattern: a square of 3 modules in a ring of 1 with a gap of 1.
type pattern struct {
	at     Point
	chord  float64 // length of the horizontal line through it, in pixels: 7 modules, more if it is turned
	height float64 // length of the vertical line
	seen   int     // on how many scan lines
	bright bool    // light on dark: a code printed inverted
}

const (
	quorum      = 2    // scan lines; a pattern on a single one is a coincidence
	maxPatterns = 64   // in a plane; with more, the image is busy
	maxHits     = 4096 // likewise, patterns seen on a single line included
)

// patterns scans lines for dark:light:dark:light:dark runs of 1:1:3:1:1 and confirms each hit down, across and along
// both diagonals. Edges are interpolated between pixels, so modules of 1.5 pixels are detected.
func (f *field) patterns() []pattern {
	var found []pattern
	for y := 1; y < f.h && *f.work >= 0; y += 2 {
		f.scan(y, func(x, chord float64, bright bool) {
			if *f.work -= int(chord); *f.work < 0 {
				return
			}
			if p, ok := f.confirm(Point{x, float64(y) + 0.5}, chord, bright); ok {
				*f.work -= len(found)
				found = merge(found, p)
			}
			if len(found) > maxHits {
				*f.work = -1
			}
		})
	}
	found = slices.DeleteFunc(found, func(p pattern) bool { return p.seen < quorum })
	if len(found) > maxPatterns {
		*f.work = -1
	}
	if *f.work < 0 {
		return nil
	}
	return found
}

// scan reports the centre and length of each run of five in a row that could be a line through a pattern.
func (f *field) scan(y int, hit func(x, chord float64, bright bool)) {
	pix := f.gray.Pix[y*f.gray.Stride:][:f.w]
	var e [6]float64 // the last edges, including the border of the image
	edges := 1
	before := f.level(0, y)
	edge := func(pos float64, bright bool) {
		copy(e[:], e[1:])
		e[5] = pos
		edges++
		if edges >= 6 && finderRatio([5]float64{e[1] - e[0], e[2] - e[1], e[3] - e[2], e[4] - e[3], e[5] - e[4]}, 0.5) {
			hit((e[2]+e[3])/2, e[5]-e[0], bright)
		}
	}
	x := 0
	f.segments(y, func(to int, threshold, step int32, allLight, allDark bool) {
		if skip := int32(to - x - 1); skip > 0 && (allLight && before > 0 || allDark && before <= 0) {
			x, threshold = to-1, threshold+skip*step
		}
		for ; x < to; x++ {
			here := int32(pix[x])<<4 - threshold/unit
			threshold += step
			if (here <= 0) != (before <= 0) {
				edge(float64(x)-0.5+float64(before)/float64(before-here), before > 0)
			}
			before = here
		}
	})
	edge(float64(f.w), before > 0)
}

// maxSpill is how far both edges of a dark run together may have moved outwards (or inwards), in modules: with a
// threshold too high, blur makes dark runs longer and light ones shorter by the same amount.
const maxSpill = 0.6

// finderRatio reports whether runs are 1:1:3:1:1 after removing a common spill. Each run may deviate by tolerance modules,
// the middle one by twice as much.
func finderRatio(runs [5]float64, tolerance float64) bool {
	outer, gaps := runs[0]+runs[4], runs[1]+runs[3]
	m, spill := (outer+gaps)/4, (outer-gaps)/4
	if m < 0.9 || math.Abs(spill) > maxSpill*m {
		return false
	}
	off := tolerance * m
	return math.Abs(runs[2]-3*m-spill) < 2*off &&
		math.Abs(runs[0]-outer/2) < off && math.Abs(runs[1]-gaps/2) < off
}

// maxTilt is the most ratio of a pattern's width and height: more than that of a card seen at 50°.
const maxTilt = 2.2

// confirm checks a hit in the other directions and computes its centre.
func (f *field) confirm(p Point, chord float64, bright bool) (pattern, bool) {
	limit, height := chord*maxTilt, 0.0
	for range 2 {
		off, length, ok := f.cross(p, 0, 1, limit, bright, 0.5)
		if !ok || length < chord/maxTilt || length > chord*maxTilt {
			return pattern{}, false
		}
		height = length
		p.Y = math.Floor(p.Y) + 0.5 + off
		if off, chord, ok = f.cross(p, 1, 0, limit, bright, 0.5); !ok {
			return pattern{}, false
		}
		p.X = math.Floor(p.X) + 0.5 + off
	}
	for _, dy := range []int{1, -1} {
		if _, _, ok := f.cross(p, 1, dy, limit, bright, 0.75); !ok {
			return pattern{}, false
		}
	}
	return pattern{at: p, chord: chord, height: height, seen: 1, bright: bright}, true
}

// cross measures the pattern along a direction, both ways from p's pixel. off is how far the middle lies from that
// pixel's centre and length is the whole pattern's without its spill, both in steps of (dx, dy).
func (f *field) cross(p Point, dx, dy int, limit float64, bright bool, tolerance float64) (off, length float64, ok bool) {
	x, y := int(p.X), int(p.Y)
	fore, ok := f.walk(x, y, dx, dy, limit, bright)
	back, okBack := f.walk(x, y, -dx, -dy, limit, bright)
	if !ok || !okBack {
		return 0, 0, false
	}
	runs := [5]float64{back[2] - back[1], back[1] - back[0], back[0] + fore[0], fore[1] - fore[0], fore[2] - fore[1]}
	if !finderRatio(runs, tolerance) {
		return 0, 0, false
	}
	off = (fore[0] - back[0] + fore[1] - back[1] + fore[2] - back[2]) / 6
	spill := (runs[0] + runs[4] - runs[1] - runs[3]) / 4
	return off, back[2] + fore[2] - spill, true
}

// walk gives the distances at which the core, the gap and the ring end, in steps from the centre of pixel (x, y).
func (f *field) walk(x, y, dx, dy int, limit float64, bright bool) (ends [3]float64, ok bool) {
	if x < 0 || y < 0 || x >= f.w || y >= f.h {
		return ends, false
	}
	before := f.level(x, y)
	if (before > 0) != bright {
		return ends, false
	}
	n := 0
	for step := 1; float64(step) <= limit+1; step++ {
		x, y = x+dx, y+dy
		if x < 0 || y < 0 || x >= f.w || y >= f.h {
			// The picture ends at the outer edge of the ring.
			ends[2] = float64(step) - 0.5
			return ends, n == 2
		}
		here := f.level(x, y)
		if (here <= 0) != (before <= 0) {
			ends[n] = float64(step) - 1 + float64(before)/float64(before-here)
			if n++; n == 3 {
				return ends, true
			}
		}
		before = here
	}
	return ends, false
}

// merge adds a hit to the pattern that it belongs to. The centre is the mean over the lines.
func merge(found []pattern, p pattern) []pattern {
	for i := range found {
		q := &found[i]
		near := 1.5 * math.Max(p.chord, q.chord) / 7
		if q.bright != p.bright || math.Abs(p.at.X-q.at.X) > near || math.Abs(p.at.Y-q.at.Y) > near {
			continue
		}
		n := float64(q.seen)
		q.at = Point{(q.at.X*n + p.at.X) / (n + 1), (q.at.Y*n + p.at.Y) / (n + 1)}
		q.chord, q.height = (q.chord*n+p.chord)/(n+1), (q.height*n+p.height)/(n+1)
		q.seen++
		return found
	}
	return append(found, p)
}

// code returns the pattern as a Code.
func (p pattern) code() Code {
	r := p.chord / 2
	return Code{Finders: 1, Corners: [4]Point{
		{p.at.X - r, p.at.Y - r}, {p.at.X + r, p.at.Y - r}, {p.at.X + r, p.at.Y + r}, {p.at.X - r, p.at.Y + r},
	}}
}
