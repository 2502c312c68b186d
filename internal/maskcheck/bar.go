package maskcheck

import (
	"image"
	"slices"
)

const (
	barShade = 8       // by which pixels of an opaque bar differ, in sixteenths of a grey level: less than a digit below a thin mask
	barFill  = 85      // per cent of the rectangle around it, at least
	barHigh  = 6       // pixels, at least
	barDark  = 60 * 16 // by which a bar over a whole number is darker than its ground, in sixteenths of a grey level
)

// isMasked reports whether something opaque covers digits: eight crosses beside digits, a bar beside four digits, or a dark bar that
// is long enough for a whole number.
func (w writing) isMasked() bool {
	return len(w.crossed()) > 0 || slices.ContainsFunc(w.flat(), func(bar image.Rectangle) bool {
		return w.coversGroups(bar) || w.coversNumber(bar)
	})
}

// flat returns the rectangles of one shade that are as long as two or three groups of digits.
func (w writing) flat() (out []image.Rectangle) {
	var open []int
	seen := make([]bool, len(w.pix))
	for start, shade := range w.pix {
		if seen[start] {
			continue
		}
		seen[start] = true
		area, n := image.Rectangle{}, 0
		for open = append(open[:0], start); len(open) > 0; n++ {
			at := open[len(open)-1]
			open = open[:len(open)-1]
			x, y := at%w.w, at/w.w
			area = area.Union(image.Rect(x, y, x+1, y+1))
			for _, d := range [4]image.Point{{X: 1}, {X: -1}, {Y: 1}, {Y: -1}} {
				nx, ny := x+d.X, y+d.Y
				if nx < 0 || ny < 0 || nx >= w.w || ny >= w.h {
					continue
				}
				if i := ny*w.w + nx; !seen[i] && max(w.pix[i]-shade, shade-w.pix[i]) <= barShade {
					seen[i] = true
					open = append(open, i)
				}
			}
		}
		if high := area.Dy(); high >= barHigh && 5*high <= 2*area.Dx() && area.Dx() <= 9*high && 100*n >= barFill*high*area.Dx() {
			out = append(out, area)
		}
	}
	return out
}

// coversGroups reports whether a group of digits shows close to an end of a bar, and nothing behind it: not higher than the bar and
// about half as long.
func (w writing) coversGroups(bar image.Rectangle) bool {
	digit := bar.Dx() / 9
	ends := [2]image.Rectangle{bar.Add(image.Pt(bar.Dx(), 0)), bar.Sub(image.Pt(bar.Dx(), 0))}
	ends[0].Max.X -= 2 * digit
	ends[1].Min.X += 2 * digit
	return slices.ContainsFunc(ends[:], func(end image.Rectangle) bool {
		group, n := image.Rectangle{}, 0
		for _, g := range w.glyphs {
			if part := g.Intersect(end); 2*part.Dy() > g.Dy() {
				group = group.Union(g)
				n++
			}
		}
		gap := max(group.Min.X-bar.Max.X, bar.Min.X-group.Max.X)
		return n > 0 && n <= 5 && gap <= 2*digit && 2*group.Dx() > 5*digit && group.Dx() < 6*digit &&
			10*group.Dy() > 3*bar.Dy() && group.Dy() <= bar.Dy()+4
	})
}

// coversNumber reports whether a bar is long enough for three groups, and darker than its ground on all sides.
func (w writing) coversNumber(bar image.Rectangle) bool {
	if 2*bar.Dx() < 9*bar.Dy() {
		return false
	}
	shade := w.pix[(bar.Min.Y+bar.Dy()/2)*w.w+bar.Min.X+bar.Dx()/2]
	far := 3 + bar.Dy()/5
	for _, at := range []image.Point{
		{bar.Min.X - far, bar.Min.Y + bar.Dy()/2},
		{bar.Max.X + far, bar.Min.Y + bar.Dy()/2},
		{bar.Min.X + bar.Dx()/2, bar.Min.Y - far},
		{bar.Min.X + bar.Dx()/2, bar.Max.Y + far},
	} {
		if !at.In(image.Rect(0, 0, w.w, w.h)) || w.pix[at.Y*w.w+at.X] < shade+barDark {
			return false
		}
	}
	return true
}
