package qr

import "math"

const (
	// versionReach is how many versions are tried on each side of the estimate: from version 20 on, an error of 4 % in the size
	// of the patterns yields a wrong one.
	versionReach = 4
	// minTiming is of a perfect timing pattern.
	minTiming = 0.5
)

// timing searches the timing patterns of a code: two lines between the top left and the other finder patterns whose modules
// alternate. It returns how well the best line alternates: 1 is perfect, 0 is chance.
func (f *field) timing(t triple) float64 {
	best := 0.0
	estimate := int(math.Round((t.modules() - 17) / 4))
	for version := max(1, estimate-versionReach); version <= min(40, estimate+versionReach); version++ {
		n := 17 + 4*version
		best = max(best, f.alternation(t, t.tr.at, t.bl.at, n), f.alternation(t, t.bl.at, t.tr.at, n))
	}
	return best
}

// alternation looks at the timing pattern along the side from the top left pattern to end, in a code of n modules.
func (f *field) alternation(t triple, end, other Point, n int) float64 {
	const inwards = 3 // modules from the centre of a finder pattern
	span := float64(n - 7)
	match, total := 0.0, 0.0
	for i := 8; i < n-8; i++ {
		along := float64(i-3) / span
		level := f.levelAt(Point{
			t.tl.at.X + along*(end.X-t.tl.at.X) + inwards/span*(other.X-t.tl.at.X),
			t.tl.at.Y + along*(end.Y-t.tl.at.Y) + inwards/span*(other.Y-t.tl.at.Y),
		})
		total += math.Abs(level)
		if (i%2 == 0) == t.tl.bright {
			match += level
		} else {
			match -= level
		}
	}
	if total == 0 {
		return 0
	}
	return match / total
}
