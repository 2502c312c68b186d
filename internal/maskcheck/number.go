package maskcheck

import (
	"image"
	"math"
	"slices"
)

const (
	inkWindow = 20      // pixels on each side, for the ground that writing is compared with
	inkShade  = 25 * 16 // by which writing is darker than its ground, in sixteenths of a grey level
	maxGlyphs = 4000    // a picture with more counts as one with a number
	// legibleGlyphs is how many letters have to show in rows, one by one. Then the larger digits of a number would be seen, too.
	legibleGlyphs = 30
)

// A writing is a plane and the rectangles around its glyphs, from left to right.
type writing struct {
	plane
	glyphs []image.Rectangle
}

// hidesNumber reports whether a customer masked a card: its writing is legible, something opaque covers digits, and no number shows.
// Dark and light digits are looked for in three sizes, so those that are blurred, noisy or broken count as long as a person could
// read them.
func (p plane) hidesNumber() bool {
	if min(p.w, p.h) < 2 {
		return false
	}
	w := p.turned(p.writing().direction()).writing()
	if len(w.glyphs) > maxGlyphs || !w.isLegible() || !w.isMasked() {
		return false
	}
	w.erase(w.crossed())
	p = w.plane
	for _, high := range []int{0, 10, 8} { // less are words of small print
		if p.writing().showsNumber(high) || p.negative().writing().showsNumber(high) {
			return false
		}
		p = p.halved()
	}
	return true
}

// negative is light where the plane is dark.
func (p plane) negative() plane {
	out := plane{p.w, p.h, make([]int32, len(p.pix))}
	for i, v := range p.pix {
		out.pix[i] = 255*16 - v
	}
	return out
}

// halved averages blocks of four pixels.
func (p plane) halved() plane {
	out := plane{p.w / 2, p.h / 2, make([]int32, p.w/2*(p.h/2))}
	for y := range out.h {
		above, below := p.pix[2*y*p.w:], p.pix[(2*y+1)*p.w:]
		for x := range out.w {
			out.pix[y*out.w+x] = (above[2*x] + above[2*x+1] + below[2*x] + below[2*x+1]) / 4
		}
	}
	return out
}

// turned turns a plane until a direction is level.
func (p plane) turned(cos, sin float64) plane {
	w, h := float64(p.w), float64(p.h)
	out := plane{w: int(w*math.Abs(cos) + h*math.Abs(sin)), h: int(h*math.Abs(cos) + w*math.Abs(sin))}
	out.pix = make([]int32, out.w*out.h)
	for y := range out.h {
		for x := range out.w {
			u, v := float64(x-out.w/2), float64(y-out.h/2)
			fx, fy := w/2+u*cos-v*sin, h/2+u*sin+v*cos
			out.pix[y*out.w+x] = p.between(max(0, min(fx, w-2)), max(0, min(fy, h-2)))
		}
	}
	return out
}

// between interpolates between four pixels.
func (p plane) between(x, y float64) int32 {
	at := int(y)*p.w + int(x)
	_, fx := math.Modf(x)
	_, fy := math.Modf(y)
	mix := func(a, b int32, part float64) float64 { return float64(a)*(1-part) + float64(b)*part }
	return int32(mix(p.pix[at], p.pix[at+1], fx)*(1-fy) + mix(p.pix[at+p.w], p.pix[at+p.w+1], fx)*fy)
}

// writing finds the rectangles around connected dark pixels that may be digits.
func (p plane) writing() writing {
	out := writing{plane: p}
	sums := make([]int64, (p.w+1)*(p.h+1))
	for y := range p.h {
		row := int64(0)
		for x := range p.w {
			row += int64(p.pix[y*p.w+x])
			sums[(y+1)*(p.w+1)+x+1] = sums[y*(p.w+1)+x+1] + row
		}
	}
	ink := make([]bool, len(p.pix))
	for y := range p.h {
		for x := range p.w {
			x0, x1, y0, y1 := max(0, x-inkWindow), min(p.w, x+inkWindow), max(0, y-inkWindow), min(p.h, y+inkWindow)
			sum := sums[y1*(p.w+1)+x1] - sums[y1*(p.w+1)+x0] - sums[y0*(p.w+1)+x1] + sums[y0*(p.w+1)+x0]
			ink[y*p.w+x] = int64(p.pix[y*p.w+x]) < sum/int64((x1-x0)*(y1-y0))-inkShade
		}
	}
	var open []image.Point
	for start := range ink {
		if !ink[start] {
			continue
		}
		ink[start] = false
		area := image.Rectangle{}
		for open = append(open, image.Pt(start%p.w, start/p.w)); len(open) > 0; {
			at := open[len(open)-1]
			open = open[:len(open)-1]
			area = area.Union(image.Rect(at.X, at.Y, at.X+1, at.Y+1))
			for _, d := range [4]image.Point{{X: 1}, {X: -1}, {Y: 1}, {Y: -1}} {
				if next := at.Add(d); next.In(image.Rect(0, 0, p.w, p.h)) && ink[next.Y*p.w+next.X] {
					ink[next.Y*p.w+next.X] = false
					open = append(open, next)
				}
			}
		}
		if area.Dy() >= 5 && area.Dx() <= 5*area.Dy() {
			out.glyphs = append(out.glyphs, area)
		}
	}
	slices.SortFunc(out.glyphs, func(a, b image.Rectangle) int { return a.Min.X - b.Min.X })
	return out
}

// direction returns cosine and sine of the direction in which most glyphs follow each other; either way of it.
func (w writing) direction() (cos, sin float64) {
	var votes [180]int
	for i, a := range w.glyphs[:min(len(w.glyphs), maxGlyphs)] {
		size := max(a.Dx(), a.Dy())
		for _, b := range w.glyphs[i+1:] {
			if b.Min.X > a.Max.X+size {
				break
			}
			other := max(b.Dx(), b.Dy())
			x, y := float64(b.Min.X+b.Max.X-a.Min.X-a.Max.X)/2, float64(b.Min.Y+b.Max.Y-a.Min.Y-a.Max.Y)/2
			if 2*max(size, other) <= 3*min(size, other) && math.Hypot(x, y) < 1.5*float64(size) {
				votes[(int(math.Round(math.Atan2(y, x)*180/math.Pi))+180)%180]++
			}
		}
	}
	best, most := 0, 0
	for angle := range votes {
		sum := 0
		for off := -3; off <= 3; off++ {
			sum += (4 - max(off, -off)) * votes[(angle+off+180)%180]
		}
		if sum > most {
			best, most = angle, sum
		}
	}
	sin, cos = math.Sincos(float64(best) * math.Pi / 180)
	return cos, sin
}

// row returns a glyph and those that follow it on its line. Some may be higher or lower: digits that touch something, or letters.
func (w writing) row(i int) []image.Rectangle {
	line := w.glyphs[i]
	row := []image.Rectangle{line}
	for _, g := range w.glyphs[i+1:] {
		last := row[len(row)-1]
		if 2*(g.Min.X-last.Max.X) > 3*line.Dy() {
			break
		}
		overlap := min(g.Max.Y, line.Max.Y) - max(g.Min.Y, line.Min.Y)
		if g.Min.X < last.Max.X-1 || 5*overlap < 2*line.Dy() || g.Dy() > 2*line.Dy() {
			continue
		}
		row = append(row, g)
		if 4*max(g.Dy(), line.Dy()) <= 5*min(g.Dy(), line.Dy()) { // a tilted line
			line = g
		}
	}
	return row
}

// isFirst reports whether no glyph shows close to the left of another one.
func (w writing) isFirst(i int) bool {
	g := w.glyphs[i]
	for _, other := range w.glyphs[:i] {
		gap := g.Min.X - other.Max.X
		if overlap := min(g.Max.Y, other.Max.Y) - max(g.Min.Y, other.Min.Y); gap >= -1 && 4*gap < g.Dy() && 5*overlap >= 2*g.Dy() && other.Dy() <= 2*g.Dy() {
			return false
		}
	}
	return true
}

// isLegible reports whether letters show in rows, one by one.
func (w writing) isLegible() bool {
	n := 0
	for i, g := range w.glyphs[:min(len(w.glyphs), maxGlyphs)] {
		if g.Dx() <= g.Dy() && len(w.row(i)) >= 3 {
			n++
		}
	}
	return n >= legibleGlyphs
}

// erase paints glyphs over with the lightest shade around each.
func (w writing) erase(glyphs []image.Rectangle) {
	for _, g := range glyphs {
		g = g.Inset(-2).Intersect(image.Rect(0, 0, w.w, w.h))
		light := int32(0)
		for y := g.Min.Y; y < g.Max.Y; y++ {
			light = max(light, slices.Max(w.pix[y*w.w+g.Min.X:y*w.w+g.Max.X]))
		}
		for y := g.Min.Y; y < g.Max.Y; y++ {
			for x := g.Min.X; x < g.Max.X; x++ {
				w.pix[y*w.w+x] = light
			}
		}
	}
}

// showsNumber reports whether something like a number of twelve digits in three groups shows, of at least a height in
// pixels, or twelve digits without spaces. Four groups are another number.
func (w writing) showsNumber(high int) bool {
	if len(w.glyphs) > maxGlyphs {
		return true
	}
	var threes, longer []image.Rectangle
	for i, g := range w.glyphs {
		row := w.row(i)
		if g.Dy() >= high && isEven(row) {
			return true
		}
		if !w.isFirst(i) {
			continue
		}
		for _, part := range []int{3, 4, 5, 7, 10} { // gaps between groups, in parts of sixteen of the height
			switch area, n := groups(row, part); {
			case n == 3:
				threes = append(threes, area)
			case n > 3:
				longer = append(longer, area)
			}
		}
	}
	return slices.ContainsFunc(threes, func(three image.Rectangle) bool {
		return three.Dy() >= high && !slices.ContainsFunc(longer, three.In)
	})
}

// isEven reports whether a row begins with twelve glyphs of one height and one pitch, as the digits of nearly all prints have and
// the letters of few. Some may touch another one, and one may be missing.
func isEven(row []image.Rectangle) bool {
	high := row[0].Dy()
	var at, steps []int // centres and the steps between them, in half pixels
	for _, g := range row {
		switch {
		case 100*max(high, g.Dy()) > 112*min(high, g.Dy())+100: // no digit
		case 100*g.Dx() > 115*high: // two that touch
			at = append(at, 2*g.Min.X+g.Dx()/2, 2*g.Max.X-g.Dx()/2)
		default:
			at = append(at, g.Min.X+g.Max.X)
		}
	}
	if len(at) < 11 {
		return false
	}
	for i := range min(11, len(at)-1) {
		steps = append(steps, at[i+1]-at[i])
	}
	pitch := slices.Sorted(slices.Values(steps))[len(steps)/2]
	if 10*pitch < 9*high { // bars rather than digits
		return false
	}
	places := 1
	for i, step := range steps {
		if step > pitch*3/2 {
			step -= pitch
			places++
		}
		places++
		if places > i+3 || 100*max(step-pitch, pitch-step) > 12*pitch+100 {
			return false
		}
		if places >= 12 {
			return true
		}
	}
	return false
}

// groups counts the groups at the start of a row that may belong to one number: about as wide and as far from each other, of
// glyphs of one height. The digits of a group may touch, and something else may touch two of them or show beside them.
func groups(row []image.Rectangle, part int) (area image.Rectangle, n int) {
	var last image.Rectangle
	var heights []int
	high, gap, narrow, wide := row[0].Dy(), 0, math.MaxInt, 0
	for i := 0; i < len(row); n++ {
		group, first := row[i], i
		for i++; i < len(row) && 16*(row[i].Min.X-row[i-1].Max.X) < part*high; i++ {
			group = group.Union(row[i])
		}
		narrow, wide = min(narrow, group.Dx()), max(wide, group.Dx())
		space := group.Min.X - last.Max.X
		if i-first > 5 || narrow < 2*high || wide > 5*high || 20*wide > 27*narrow+40 || n > 1 && max(gap, space) > 2*min(gap, space)+4 {
			break
		}
		for _, g := range row[first:i] {
			heights = append(heights, g.Dy())
		}
		area, last, gap = area.Union(group), group, space
	}
	slices.Sort(heights)
	others := 0
	for _, h := range heights {
		if middle := heights[len(heights)/2]; 4*max(h, middle) > 5*min(h, middle)+4 {
			others++
		}
	}
	switch {
	case others > 2:
		n = 0
	case others > 0: // a fourth group is not of the number
		n = min(n, 3)
	}
	return area, n
}
