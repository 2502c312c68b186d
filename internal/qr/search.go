package qr

import "slices"

const (
	// maxTries bounds the work on adversarial pictures: an attempt at version 40 takes about 20 ms. Real cards need fewer
	// than 60. Patterns that are not tried are still reported.
	maxTries = 300
	maxScale = 8
	smallest = 64 // pixels; a smaller picture holds no code that was not seen at the scale before
)

// A search collects what the passes over one image find.
type search struct {
	readable   []Code
	unreadable []Code
	lone       []Code
	left       int // attempts to sample and decode
}

// pass looks at one plane, which is smaller than the image by scale.
func (s *search) pass(f *field, scale float64) {
	found := f.patterns()
	used := make(map[Point]bool)
	for _, t := range triples(found) {
		if s.known(t, scale) {
			continue
		}
		code, ok := f.read(t, &s.left)
		code = code.scaled(scale)
		if ok {
			s.readable = append(s.readable, code)
			continue
		}
		if t.distortion <= strictDistortion && !used[t.tl.at] && !used[t.tr.at] && !used[t.bl.at] {
			used[t.tl.at], used[t.tr.at], used[t.bl.at] = true, true, true
			s.unreadable = append(s.unreadable, code)
		}
	}
	for _, t := range f.pairs(slices.DeleteFunc(slices.Clone(found), func(p pattern) bool { return s.covered(p.at, scale) })) {
		if t.module == 0 || s.known(t, scale) {
			continue
		}
		if code, ok := f.read(t, &s.left); ok {
			s.readable = append(s.readable, code.scaled(scale))
		}
	}
	for _, p := range found {
		if f.isSingle(p) {
			s.lone = append(s.lone, p.code().scaled(scale))
		}
	}
}

// strictDistortion is the most distortion of three patterns that are reported as an unreadable code.
const strictDistortion = 0.35

func (s *search) known(t triple, scale float64) bool {
	return s.covered(t.tl.at, scale) && s.covered(t.tr.at, scale) && s.covered(t.bl.at, scale)
}

func (s *search) covered(p Point, scale float64) bool {
	return slices.ContainsFunc(s.readable, func(c Code) bool { return c.Contains(Point{p.X * scale, p.Y * scale}) })
}

// codes removes findings that belong to a better one.
func (s *search) codes() []Code {
	out := slices.Clone(s.readable)
	for _, c := range slices.Concat(s.unreadable, s.lone) {
		known := slices.ContainsFunc(out, func(o Code) bool { return o.Contains(c.middle()) })
		if !known {
			out = append(out, c)
		}
	}
	return out
}

// code returns the pattern as a Code.
func (p pattern) code() Code {
	r := p.chord / 2
	return Code{Finders: 1, Corners: [4]Point{
		{p.at.X - r, p.at.Y - r}, {p.at.X + r, p.at.Y - r}, {p.at.X + r, p.at.Y + r}, {p.at.X - r, p.at.Y + r},
	}}
}
