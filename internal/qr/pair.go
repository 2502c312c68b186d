package qr

import (
	"cmp"
	"math"
	"slices"
)

// maxPairs is how many pairs are tried per plane, the most alike first.
const maxPairs = 12

// pairs completes pairs of patterns to triples, for codes of which one pattern is covered. The two may be adjacent or
// opposite, and the code on either side of them. If they are adjacent, either may be the top left one: the triples do not say
// which.
func pairs(found []pattern) []triple {
	type pair struct {
		a, b   pattern
		spread float64
	}
	var likely []pair
	for i, a := range found {
		for _, b := range found[i+1:] {
			if spread := math.Abs(math.Log(a.chord / b.chord)); a.bright == b.bright && spread < 0.25 {
				likely = append(likely, pair{a, b, spread})
			}
		}
	}
	slices.SortStableFunc(likely, func(p, q pair) int { return cmp.Compare(p.spread, q.spread) })
	var out []triple
	for _, p := range likely[:min(len(likely), maxPairs)] {
		third := pattern{chord: (p.a.chord + p.b.chord) / 2, bright: p.a.bright}
		ux, uy := p.b.at.X-p.a.at.X, p.b.at.Y-p.a.at.Y
		for _, side := range []float64{1, -1} {
			vx, vy := -uy*side, ux*side // (ux, uy) turned by 90°
			third.at = Point{p.a.at.X + vx, p.a.at.Y + vy}
			if t, ok := corner(p.a, p.b, third, upright); ok {
				out = append(out, t)
			}
			third.at = Point{p.a.at.X + (ux+vx)/2, p.a.at.Y + (uy+vy)/2}
			if t, ok := corner(third, p.a, p.b, upright); ok {
				out = append(out, t)
			}
		}
	}
	return out
}
