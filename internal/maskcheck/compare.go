package maskcheck

import (
	"context"
	"image"
	"math"
	"slices"

	"github.com/kycq/kycq/internal/qr"
)

// The vendor may scale, turn, mirror and recompress the card, and it masks parts of it. So both pictures are reduced to one
// size and compared block by block: a block of the source that shows something is kept, has become uniform, or has changed.
const (
	compareSide = 768 // pixels of the long side at which pictures are compared, at most
	blockSide   = 8   // pixels
	// shows is the least contrast (standard deviation, in grey levels) of a block that shows something; noise has less.
	shows = 8.0
	// similar is the least correlation of a kept block.
	similar = 0.5
	// uniform is the most contrast of a covered block, as a part of the source's.
	uniform = 0.35
	// minAligned is the least part of kept blocks among those that are not covered, if the pictures show the same.
	minAligned = 0.7
	// minBlocks is how many blocks decide anything, and minLength the length in blocks of the smallest covered region: eight
	// digits on a card that fills a third of the picture's width.
	minBlocks, minLength = 5, 5
	// codePixels is the size from which the source is searched for codes at half of its resolution: an answer that shows
	// small ones is refused anyway.
	codePixels = 1_200_000
)

// A plane is a brightness plane in sixteenths of a grey level.
type plane struct {
	w, h int
	pix  []int32
}

// An original is the source as far as it is compared.
type original struct {
	bright *image.Gray // at full or half resolution
	codes  []qr.Code   // in bright
}

// openBright decodes the brightness of a source; for the comparison, half of the resolution of a large one is enough.
func openBright(ctx context.Context, body []byte, h header) (*image.Gray, error) {
	if h.ext == "jpg" && h.width*h.height > codePixels && max(h.width, h.height) >= 2*compareSide {
		f, _ := parseJPEG(body)
		if components, err := f.components(); err == nil {
			if half, _, err := f.brightness(components, 4); err == nil {
				return half, nil
			}
		}
	}
	p, err := openPicture(ctx, body, h)
	if err != nil {
		return nil, err
	}
	return qr.Luma(p.pixels), nil
}

// readOriginal reduces a source and finds its codes.
func readOriginal(bright *image.Gray) original {
	o := original{bright: bright}
	for size := o.bright.Rect.Size(); size.X*size.Y > codePixels; size = o.bright.Rect.Size() {
		o.bright = qr.Halve(o.bright)
	}
	o.codes, _ = qr.FindPrinted(o.bright) // of a busy picture those that are known
	return o
}

// compare reports what is wrong with an answer, if anything, or why a person should look at it. uncovered are the codes of the
// source that the answer leaves open, in its pixels.
func (o original) compare(answer image.Image) (uncovered []qr.Code, review string, err error) {
	bright := qr.Luma(answer)
	side := min(compareSide, max(o.bright.Rect.Dx(), o.bright.Rect.Dy()), max(bright.Rect.Dx(), bright.Rect.Dy()))
	// Halves of an even size have the same margins in all turns.
	if size := bright.Rect.Size(); max(size.X, size.Y) >= 2*side && size.X%2 == 0 && size.Y%2 == 0 {
		bright = qr.Halve(bright)
	}
	w, h := reducedSize(bright.Rect.Size(), side)
	masked := reduce(bright, w, h)
	source := reduce(o.bright, w, h)
	var best blockMap
	turned := 0
	for turn := range 8 {
		if turn == 4 {
			source = reduce(o.bright, h, w).transposed()
		}
		blocks := classify(source.flipped(turn&1 != 0, turn&2 != 0), masked)
		if blocks.count[isKept] > best.count[isKept] {
			best, turned = blocks, turn
		}
		if shown := len(best.state) - best.count[isEmpty]; best.count[isKept] > shown/2 {
			break
		}
	}
	switch {
	case !best.aligned():
		return nil, "", unsafe(NotComparable)
	case best.coversRegion():
	case reduce(o.bright, o.bright.Rect.Dx(), o.bright.Rect.Dy()).hidesNumber():
		review = ReviewAlreadyMasked
	default:
		return nil, "", unsafe(NothingMasked)
	}
	for _, code := range o.codes {
		if upright(code) && !best.covers(o.place(code, w, h, turned)) {
			size := answer.Bounds().Size()
			uncovered = append(uncovered, o.place(code, size.X, size.Y, turned))
		}
	}
	return uncovered, review, nil
}

// upright reports whether a code's corners are about square. A tilted one may be made of patterns of two codes.
func upright(code qr.Code) bool {
	a, b, c := code.Corners[0], code.Corners[1], code.Corners[3]
	ux, uy, vx, vy := b.X-a.X, b.Y-a.Y, c.X-a.X, c.Y-a.Y
	u, v := math.Hypot(ux, uy), math.Hypot(vx, vy)
	return code.Finders > 1 && math.Abs(ux*vx+uy*vy) < 0.15*u*v && max(u, v) < 1.15*min(u, v)
}

func reducedSize(size image.Point, side int) (w, h int) {
	long := max(size.X, size.Y)
	return max(1, (size.X*side+long/2)/long), max(1, (size.Y*side+long/2)/long)
}

// reduce averages the pixels of a picture to another size, which may also be larger.
func reduce(g *image.Gray, w, h int) plane {
	out := plane{w, h, make([]int32, w*h)}
	from := func(i, n, of int) (int, int) { a := i * of / n; return a, max(a+1, (i+1)*of/n) }
	left, right := make([]int, w), make([]int, w)
	for x := range w {
		left[x], right[x] = from(x, w, g.Rect.Dx())
	}
	columns := make([]uint32, g.Rect.Dx())
	for y := range h {
		y0, y1 := from(y, h, g.Rect.Dy())
		clear(columns)
		for row := y0; row < y1; row++ {
			for x, v := range g.Pix[row*g.Stride:][:len(columns)] {
				columns[x] += uint32(v)
			}
		}
		for x := range w {
			sum, n := uint64(0), uint64((right[x]-left[x])*(y1-y0))
			for _, v := range columns[left[x]:right[x]] {
				sum += 16 * uint64(v)
			}
			switch {
			case n == 1:
			case sum < 1<<32: // a division of 64 bits takes several times as long
				sum = uint64(uint32(sum) / uint32(n))
			default:
				sum /= n
			}
			out.pix[y*w+x] = int32(sum)
		}
	}
	return out
}

func (p plane) transposed() plane {
	out := plane{p.h, p.w, make([]int32, len(p.pix))}
	for y := range p.h {
		for x := range p.w {
			out.pix[x*p.h+y] = p.pix[y*p.w+x]
		}
	}
	return out
}

func (p plane) flipped(across, down bool) plane {
	if !across && !down {
		return p
	}
	out := plane{p.w, p.h, slices.Clone(p.pix)}
	for y := range p.h {
		to := out.pix[y*p.w:][:p.w]
		if down {
			copy(to, p.pix[(p.h-1-y)*p.w:][:p.w])
		}
		if across {
			slices.Reverse(to)
		}
	}
	return out
}

// place returns the corners of a code of the source in the answer's reduced plane.
func (o original) place(c qr.Code, w, h, turn int) qr.Code {
	for i, p := range c.Corners {
		x, y := p.X/float64(o.bright.Rect.Dx()), p.Y/float64(o.bright.Rect.Dy())
		if turn >= 4 {
			x, y = y, x
		}
		if turn&1 != 0 {
			x = 1 - x
		}
		if turn&2 != 0 {
			y = 1 - y
		}
		c.Corners[i] = qr.Point{X: x * float64(w), Y: y * float64(h)}
	}
	return c
}

// The states of a block.
const (
	isEmpty   = iota // the source shows nothing
	isKept           // the answer shows the same, maybe faintly
	isCovered        // the answer is uniform
	isChanged        // the answer shows something else
)

type blockMap struct {
	w, h  int
	state []byte
	count [4]int // of the blocks in each state
}

func classify(source, answer plane) blockMap {
	m := blockMap{w: source.w / blockSide, h: source.h / blockSide}
	m.state = make([]byte, m.w*m.h)
	m.count[isEmpty] = len(m.state)
	for y := range m.h {
		for x := range m.w {
			before := source.contrast(x*blockSide, y*blockSide)
			if before < shows {
				continue
			}
			match := source.correlation(answer, x*blockSide, y*blockSide, 0, 0)
			// Rescaling may shift the picture by a pixel. With more, the noise below a mask would be taken for a likeness.
			for i := 0; i < 9 && match < similar; i++ {
				match = max(match, source.correlation(answer, x*blockSide, y*blockSide, i%3-1, i/3-1))
			}
			state := &m.state[y*m.w+x]
			switch {
			case match >= similar:
				*state = isKept
			case answer.contrast(x*blockSide, y*blockSide) < uniform*before:
				*state = isCovered
			default:
				*state = isChanged
			}
			m.count[isEmpty]--
			m.count[*state]++
		}
	}
	return m
}

// contrast is the standard deviation of a block, in grey levels.
func (p plane) contrast(x, y int) float64 {
	var sum, squares int64
	for row := range blockSide {
		for _, v := range p.pix[(y+row)*p.w+x:][:blockSide] {
			sum, squares = sum+int64(v), squares+int64(v)*int64(v)
		}
	}
	const n = blockSide * blockSide
	return math.Sqrt(float64(n*squares-sum*sum)) / n / 16
}

// correlation compares a block at (x, y) with the answer's block that is (dx, dy) further.
func (p plane) correlation(answer plane, x, y, dx, dy int) float64 {
	if x+dx < 0 || y+dy < 0 || x+dx+blockSide > answer.w || y+dy+blockSide > answer.h {
		return 0
	}
	var sa, sb, saa, sbb, sab int64
	for row := range blockSide {
		a := p.pix[(y+row)*p.w+x:][:blockSide]
		b := answer.pix[(y+dy+row)*answer.w+x+dx:][:blockSide]
		for i, u := range a {
			u, v := int64(u), int64(b[i])
			sa, sb, saa, sbb, sab = sa+u, sb+v, saa+u*u, sbb+v*v, sab+u*v
		}
	}
	const n = blockSide * blockSide
	va, vb := float64(n*saa-sa*sa), float64(n*sbb-sb*sb)
	if va <= 0 || vb <= 0 {
		return 0
	}
	return float64(n*sab-sa*sb) / math.Sqrt(va*vb)
}

// aligned reports whether the answer shows what the source shows, apart from what is covered.
func (m blockMap) aligned() bool {
	kept, others := m.count[isKept], m.count[isChanged]
	return kept >= minBlocks && float64(kept) >= minAligned*float64(kept+others)
}

// coversRegion reports whether covered blocks form a region as large as eight digits.
func (m blockMap) coversRegion() bool {
	seen := make([]bool, len(m.state))
	for start, state := range m.state {
		if state != isCovered || seen[start] {
			continue
		}
		area, n, open := image.Rectangle{}, 0, []int{start}
		seen[start] = true
		for ; len(open) > 0; n++ {
			at := open[len(open)-1]
			open = open[:len(open)-1]
			x, y := at%m.w, at/m.w
			area = area.Union(image.Rect(x, y, x+1, y+1))
			for next := range 9 {
				nx, ny := x+next%3-1, y+next/3-1
				if nx < 0 || ny < 0 || nx >= m.w || ny >= m.h {
					continue
				}
				if i := ny*m.w + nx; m.state[i] == isCovered && !seen[i] {
					seen[i] = true
					open = append(open, i)
				}
			}
		}
		if n >= minBlocks && max(area.Dx(), area.Dy()) >= minLength {
			return true
		}
	}
	return false
}

// covers reports whether at most a tenth of the blocks within a code's corners shows anything.
func (m blockMap) covers(code qr.Code) bool {
	all, shown := 0, 0
	for i, state := range m.state {
		middle := qr.Point{X: (float64(i%m.w) + 0.5) * blockSide, Y: (float64(i/m.w) + 0.5) * blockSide}
		if state != isEmpty && code.Contains(middle) {
			all++
			if state != isCovered {
				shown++
			}
		}
	}
	return 10*shown <= all
}
