package qr

import (
	"image"
	"math"
)

// A field is a brightness plane and the threshold under which a pixel counts as dark. The threshold is a coarse grid,
// interpolated between the centres of its blocks, in sixteenths of a grey level.
type field struct {
	gray       *image.Gray
	w, h       int
	cols, rows int
	grid       []int32
	blocks     []block
	work       *int // steps left
}

const (
	blockSize = 8 // pixels; a threshold looks at 5×5 blocks, so modules of 1 to about 15 pixels are judged locally
	// A block with less contrast than this holds no edge: paper, or the inside of a big module.
	flatContrast = 24
	// unit is how many parts of an interpolated threshold make a sixteenth of a grey level.
	unit = 4 * blockSize * blockSize
)

// A block describes a square of pixels: its darkest and lightest level, and its mean in sixteenths.
type block struct{ lo, hi, mean int32 }

// localFields returns two fields with local thresholds, for uneven light. The second is for codes below a mask that is not
// opaque, of which dark and light may be two grey levels apart; it is left out unless they are searched.
func localFields(g *image.Gray, faintly bool) []*field {
	local := &field{gray: g, w: g.Rect.Dx(), h: g.Rect.Dy()}
	local.cols, local.rows = (local.w+blockSize-1)/blockSize, (local.h+blockSize-1)/blockSize
	blocks := local.measure()
	local.blocks = blocks
	faint := *local
	local.grid = local.around(local.blackPoints(blocks))
	if !faintly {
		return []*field{local}
	}
	faint.grid = make([]int32, len(blocks))
	for r := range local.rows {
		for c := range local.cols {
			faint.grid[r*local.cols+c] = faint.alike(blocks, c, r)
		}
	}
	return []*field{local, &faint}
}

// alike is the mean of those blocks around one that are about as light and show at least half of its contrast, so it is not
// that of the surroundings of a mask.
func (f *field) alike(blocks []block, c, r int) int32 {
	c0, c1 := window(c, f.cols)
	r0, r1 := window(r, f.rows)
	own := blocks[r*f.cols+c]
	reach := 16 * max(6, min(48, 2*(own.hi-own.lo)))
	lowest, contrast := own.mean-reach, (own.hi-own.lo)/2
	sum, n := int32(0), int32(0)
	for y := r0; y < r1; y++ {
		row := blocks[y*f.cols+c0 : y*f.cols+c1]
		for i := range row {
			if mean := row[i].mean; uint32(mean-lowest) <= uint32(2*reach) && row[i].hi-row[i].lo >= contrast {
				sum, n = sum+mean, n+1
			}
		}
	}
	return sum / n
}

// blackPoints estimates the black point of each block.
func (f *field) blackPoints(blocks []block) []int32 {
	points := make([]int32, len(blocks))
	for at, b := range blocks {
		points[at] = b.mean
		if b.hi-b.lo > flatContrast {
			continue
		}
		// No contrast: light, unless it is darker than the black point of the blocks before, and so inside a dark area.
		points[at] = b.lo * 8
		if at > f.cols && at%f.cols > 0 {
			before := (points[at-f.cols] + 2*points[at-1] + points[at-f.cols-1]) / 4
			if b.lo*16 < before {
				points[at] = before
			}
		}
	}
	return points
}

func (f *field) measure() []block {
	out := make([]block, 0, f.cols*f.rows)
	for y0 := 0; y0 < f.h; y0 += blockSize {
		y1 := min(y0+blockSize, f.h)
		for x0 := 0; x0 < f.w; x0 += blockSize {
			x1 := min(x0+blockSize, f.w)
			l, u, sum := uint32(255), uint32(0), uint32(0)
			for y := y0; y < y1; y++ {
				for _, v := range f.gray.Pix[y*f.gray.Stride+x0 : y*f.gray.Stride+x1] {
					v := uint32(v)
					sum += v
					l, u = min(l, v), max(u, v)
				}
			}
			out = append(out, block{int32(l), int32(u), int32(sum * 16 / uint32((x1-x0)*(y1-y0)))})
		}
	}
	return out
}

// around returns for each block the mean over the 5×5 blocks around it.
func (f *field) around(points []int32) []int32 {
	out := make([]int32, 0, len(points))
	columns := make([]int32, f.cols)
	for r := range f.rows {
		r0, r1 := window(r, f.rows)
		clear(columns)
		for y := r0; y < r1; y++ {
			for c, p := range points[y*f.cols:][:f.cols] {
				columns[c] += p
			}
		}
		for c := range columns {
			c0, c1 := window(c, f.cols)
			sum := int32(0)
			for _, p := range columns[c0:c1] {
				sum += p
			}
			out = append(out, sum/int32((c1-c0)*(r1-r0)))
		}
	}
	return out
}

// window is the five blocks around i, shifted inwards at the image's border.
func window(i, n int) (from, to int) {
	from = max(0, min(i-2, n-5))
	return from, min(n, from+5)
}

// level is how much lighter than the threshold a pixel is, in sixteenths of a grey level; dark is 0 or less.
func (f *field) level(x, y int) int32 {
	return int32(f.gray.Pix[y*f.gray.Stride+x])<<4 - f.threshold(x, y)
}

// grey is the interpolated brightness, 0 to 255. Outside of the image it is white.
func (f *field) grey(p Point) float64 {
	x, y := p.X-0.5, p.Y-0.5
	x0, y0 := int(math.Floor(x)), int(math.Floor(y))
	if x0 < -1 || y0 < -1 || x0 >= f.w || y0 >= f.h {
		return 255
	}
	fx, fy := x-float64(x0), y-float64(y0)
	x1, y1 := min(x0+1, f.w-1), min(y0+1, f.h-1)
	x0, y0 = max(x0, 0), max(y0, 0)
	top, bottom := f.gray.Pix[y0*f.gray.Stride:], f.gray.Pix[y1*f.gray.Stride:]
	return (float64(top[x0])*(1-fx)+float64(top[x1])*fx)*(1-fy) + (float64(bottom[x0])*(1-fx)+float64(bottom[x1])*fx)*fy
}

// levelAt is level between four pixels.
func (f *field) levelAt(p Point) float64 {
	x, y := int(max(0, min(p.X, float64(f.w-1)))), int(max(0, min(p.Y, float64(f.h-1))))
	return f.grey(p)*16 - float64(f.threshold(x, y))
}

func (f *field) threshold(x, y int) int32 {
	c0, c1, fx := between(x, f.cols)
	r0, r1, fy := between(y, f.rows)
	top := f.grid[r0*f.cols+c0]*(2*blockSize-fx) + f.grid[r0*f.cols+c1]*fx
	bottom := f.grid[r1*f.cols+c0]*(2*blockSize-fx) + f.grid[r1*f.cols+c1]*fx
	return (top*(2*blockSize-fy) + bottom*fy) / unit
}

// between finds the two blocks whose centres a pixel lies between, and how far it is from the first in half pixels.
func between(x, n int) (a, b int, part int32) {
	half := 2*x + 1 - blockSize // in half pixels from the first block's centre
	if half <= 0 {
		return 0, 0, 0
	}
	a = half / (2 * blockSize)
	if a >= n-1 {
		return n - 1, n - 1, 0
	}
	return a, a + 1, int32(half % (2 * blockSize))
}

// segments calls next for the parts of a row of pixels in which the threshold is linear: it begins at start and rises by step,
// both in parts of unit. allLight and allDark report that the threshold divides no pixels of the part.
func (f *field) segments(y int, next func(to int, start, step int32, allLight, allDark bool)) {
	r0, r1, fy := between(y, f.rows)
	above := f.grid[r0*f.cols:][:f.cols]
	below := f.grid[r1*f.cols:][:f.cols]
	blocks := f.blocks[y/blockSize*f.cols:][:f.cols]
	before := above[0]*(2*blockSize-fy) + below[0]*fy // at the centre of a block
	next(min(blockSize/2, f.w), 2*blockSize*before, 0, false, false)
	for c := 1; c < f.cols; c++ {
		here := above[c]*(2*blockSize-fy) + below[c]*fy
		lo, hi := min(blocks[c-1].lo, blocks[c].lo), max(blocks[c-1].hi, blocks[c].hi)
		next(min(c*blockSize+blockSize/2, f.w), 2*blockSize*before+here-before, 2*(here-before),
			lo*16*unit > 2*blockSize*max(before, here), hi*16*unit <= 2*blockSize*min(before, here))
		before = here
	}
	next(f.w, 2*blockSize*before, 0, false, false)
}
