package qr

import "math"

// sureLikeness is the least correlation of a single pattern with a perfect one. With a dark mask along two of its sides a
// pattern still has 0.67; the letter o between two others has 0.60.
const sureLikeness = 0.65

// isSingle checks a pattern without two others. Letters such as o can look like a pattern but have no margin, so this compares
// 9×9 modules, at all angles and as it is seen from the side or from below.
func (f *field) isSingle(p pattern) bool {
	const steps = 12
	for i := range steps {
		sin, cos := math.Sincos(float64(i) * math.Pi / 2 / steps)
		module := p.chord / 7 * max(cos, sin)
		if f.correlation(p.at, Point{cos * module, sin * module}, Point{-sin * module, cos * module}, p.bright) >= sureLikeness {
			return true
		}
	}
	return f.correlation(p.at, Point{p.chord / 7, 0}, Point{0, p.height / 7}, p.bright) >= sureLikeness
}

// correlation compares brightness, since the local threshold treats any even area as light.
func (f *field) correlation(middle, right, below Point, bright bool) float64 {
	var n, sx, sy, sxx, syy, sxy float64
	for v := -4; v <= 4; v++ {
		for u := -4; u <= 4; u++ {
			x := 0.0
			if ring := max(u, -u, v, -v); (ring == 2 || ring == 4) != bright {
				x = 1
			}
			across, down := float64(u), float64(v)
			y := f.grey(Point{middle.X + across*right.X + down*below.X, middle.Y + across*right.Y + down*below.Y})
			n, sx, sy, sxx, syy, sxy = n+1, sx+x, sy+y, sxx+x*x, syy+y*y, sxy+x*y
		}
	}
	spread := (n*sxx - sx*sx) * (n*syy - sy*sy)
	if spread <= 0 {
		return 0
	}
	return (n*sxy - sx*sy) / math.Sqrt(spread)
}
