package maskcheck

import (
	"image"
	"slices"
)

// crossNotch is by how much the middle of each side of a cross is lighter than the side's halves and the centre, in sixteenths
// of a grey level. No digit is light in the middle of its upper and its lower side, but dark left and right of it.
const crossNotch = 5 * 16

// crosses returns how many letters X or x a glyph consists of, which may touch; 0 if it is anything else.
func (w writing) crosses(g image.Rectangle) int {
	for n := 1; n <= 8; n++ {
		if wide := g.Dx() / n; 5*wide < 3*g.Dy() || 4*wide > 5*g.Dy() || wide < 5 || g.Dy() < 5 {
			continue
		}
		part, all := g, true
		for i := range n {
			part.Min.X, part.Max.X = g.Min.X+i*g.Dx()/n, g.Min.X+(i+1)*g.Dx()/n
			all = all && w.isCross(part)
		}
		if all {
			return n
		}
	}
	return 0
}

func (w writing) isCross(g image.Rectangle) bool {
	var cells [5][5]int32 // mean shades of the parts of the area, by row and column
	for row := range cells {
		for column := range cells[row] {
			x0, x1 := g.Min.X+column*g.Dx()/5, g.Min.X+(column+1)*g.Dx()/5
			y0, y1 := g.Min.Y+row*g.Dy()/5, g.Min.Y+(row+1)*g.Dy()/5
			for y := y0; y < y1; y++ {
				for _, v := range w.pix[y*w.w+x0 : y*w.w+x1] {
					cells[row][column] += v
				}
			}
			cells[row][column] /= int32((x1 - x0) * (y1 - y0))
		}
	}
	notch := func(a, b, middle, c, d int32) bool {
		return middle-max((a+b)/2, (c+d)/2, cells[2][2]) >= crossNotch
	}
	side := func(column int) bool {
		return notch(cells[0][column], cells[1][column], cells[2][column], cells[3][column], cells[4][column])
	}
	top, bottom := cells[0], cells[4]
	return side(0) && side(4) && notch(top[0], top[1], top[2], top[3], top[4]) && notch(bottom[0], bottom[1], bottom[2], bottom[3], bottom[4])
}

// crossed returns the glyphs of rows of eight crosses with digits before or behind them.
func (w writing) crossed() (out []image.Rectangle) {
	for i := range w.glyphs[:min(len(w.glyphs), maxGlyphs)] {
		row, n := w.row(i), 0
		for k, g := range row {
			more := w.crosses(g)
			if n += more; more == 0 || n > 8 {
				break
			}
			if n == 8 && w.digitsBeside(row[0], g) {
				out = append(out, row[:k+1]...)
			}
		}
	}
	return out
}

// digitsBeside reports whether something as high as a cross, or as high as capitals are beside small letters, shows on the line
// of a row of crosses.
func (w writing) digitsBeside(first, last image.Rectangle) bool {
	return slices.ContainsFunc(w.glyphs, func(g image.Rectangle) bool {
		gap := max(g.Min.X-last.Max.X, first.Min.X-g.Max.X)
		return gap >= 0 && gap < 2*last.Dy() && g.Dy() >= last.Dy()-1 && g.Dy() < 2*last.Dy() &&
			min(g.Max.Y, last.Max.Y)-max(g.Min.Y, last.Min.Y) >= last.Dy()*3/4
	})
}
