package maskcheck

import (
	"image"
	"math"
)

// A customer may have masked the number before sending the card. Three masks are recognised: a bar of one shade over the first
// eight digits with the last four behind it, a dark bar over a whole number on a card whose smaller writing can be told apart,
// and crosses in place of the first eight digits. Anything else that may have been a mask cannot be told from what cards show
// anyway, and blurred or pixelated digits can often be recovered.
const (
	barShade     = 14 * 16 // how far the pixels of a bar are from the first, in sixteenths of a grey level
	barThickness = 6       // pixels, at least
	barFill      = 0.85    // of the rectangle around it, at least
	// A bar is this many times as long as thick: eight digits and a space, with or without margins.
	barShort, barLong = 2.5, 9.0
	// A bar over a whole number is filled to its edges and darker than its ground. No band of a card has its form.
	wholeFill, wholeShade, wholeShort = 0.95, 60 * 16, 4.5
	// legibleGlyphs is how many letters smaller than a bar have to show in rows. Then digits would be seen, too.
	legibleGlyphs = 30
)

// A bar is a region in the form of a rectangle, at any angle.
type bar struct {
	x, y         float64 // its middle
	cos, sin     float64 // of the long side
	length, wide float64 // pixels
	fill         float64 // part of the rectangle
	shade        int32
}

// masksNumber reports whether a masked number shows, and no open one.
func (p plane) masksNumber() bool {
	if min(p.w, p.h) < barThickness {
		return false
	}
	bars := p.bars()
	for _, b := range bars {
		if p.digitsBehind(b) || p.digitsBehind(b.reversed()) {
			return !p.turned(b.cos, b.sin).writing().showsNumber()
		}
	}
	for _, b := range bars {
		if p.isWhole(b) {
			w := p.turned(b.cos, b.sin).writing()
			return w.isLegible(b.wide) && !w.showsNumber()
		}
	}
	w := p.turned(p.writing().direction()).writing()
	return len(w.crossed()) > 0 && !w.showsNumber()
}

func (p plane) bars() (out []bar) {
	seen := make([]bool, len(p.pix))
	var region []int
	for start := range p.pix {
		if seen[start] {
			continue
		}
		region = p.region(start, seen, region[:0])
		if b, ok := p.barOf(region); ok {
			out = append(out, b)
		}
	}
	return out
}

// region returns the places of the connected pixels of about one shade.
func (p plane) region(start int, seen []bool, region []int) []int {
	region = append(region, start)
	seen[start] = true
	for next := 0; next < len(region); next++ {
		at := region[next]
		x, y := at%p.w, at/p.w
		for _, d := range [4]image.Point{{X: 1}, {X: -1}, {Y: 1}, {Y: -1}} {
			nx, ny := x+d.X, y+d.Y
			if nx < 0 || ny < 0 || nx >= p.w || ny >= p.h {
				continue
			}
			if i := ny*p.w + nx; !seen[i] && max(p.pix[i]-p.pix[start], p.pix[start]-p.pix[i]) <= barShade {
				seen[i] = true
				region = append(region, i)
			}
		}
	}
	return region
}

// barOf measures a region along its axes of inertia.
func (p plane) barOf(region []int) (b bar, ok bool) {
	n := float64(len(region))
	if n < barShort*barThickness*barThickness || n > float64(len(p.pix))/4 {
		return b, false
	}
	var sx, sy, sxx, syy, sxy float64
	for _, at := range region {
		x, y := float64(at%p.w), float64(at/p.w)
		sx, sy, sxx, syy, sxy = sx+x, sy+y, sxx+x*x, syy+y*y, sxy+x*y
	}
	b.x, b.y = sx/n, sy/n
	b.sin, b.cos = math.Sincos(math.Atan2(2*(sxy/n-b.x*b.y), sxx/n-b.x*b.x-syy/n+b.y*b.y) / 2)
	var u0, u1, v0, v1 float64
	for _, at := range region {
		x, y := float64(at%p.w)-b.x, float64(at/p.w)-b.y
		u, v := x*b.cos+y*b.sin, y*b.cos-x*b.sin
		u0, u1, v0, v1 = min(u0, u), max(u1, u), min(v0, v), max(v1, v)
	}
	b.length, b.wide = u1-u0+1, v1-v0+1
	b.fill, b.shade = n/(b.length*b.wide), p.pix[region[0]]
	ratio := b.length / b.wide
	return b, b.wide >= barThickness && ratio >= barShort && ratio <= barLong && b.fill >= barFill
}

// isWhole reports whether a bar may cover a whole number: it is darker than its ground on all sides.
func (p plane) isWhole(b bar) bool {
	if b.length < wholeShort*b.wide || b.fill < wholeFill {
		return false
	}
	margin := 0.2 * b.wide
	for _, side := range [4][2]float64{{margin, 0}, {-b.length - margin, 0}, {-b.length / 2, b.wide/2 + margin}, {-b.length / 2, -b.wide/2 - margin}} {
		if shade, inside := p.behind(b, side[0], side[1]); !inside || shade < b.shade+wholeShade {
			return false
		}
	}
	return true
}

func (b bar) reversed() bar {
	b.cos, b.sin = -b.cos, -b.sin
	return b
}

// digitsBehind reports whether the end of a bar is followed by dark writing on a light ground: not as high as the bar is wide,
// about half as long as the bar, and with nothing around it.
func (p plane) digitsBehind(b bar) bool {
	// Writing ends where a gap of a letter begins: a tenth of the bar.
	letter := b.length / 10
	dark, light := p.shades(b, 1, 0.6*b.length, 0.45*b.wide)
	if light-dark < 40*16 {
		return false
	}
	inked := func(along, half float64) (up, down float64, ok bool) {
		up, down = half, -half
		for v := -half; v <= half; v++ {
			if shade, inside := p.behind(b, along, v); inside && shade < (dark+light)/2 {
				up, down, ok = min(up, v), max(down, v), true
			}
		}
		return up, down, ok
	}
	from, to, columns, groups := -1.0, -1.0, 0, 0
	top, bottom := b.wide, -b.wide
	for along := 2.0; along < b.length; along++ {
		up, down, ok := inked(along, 0.65*b.wide)
		if !ok {
			if from >= 0 && along-to > letter {
				break
			}
			continue
		}
		if from < 0 {
			from = along
		}
		if along > to+1 {
			groups++
		}
		to, columns = along, columns+1
		top, bottom = min(top, up), max(bottom, down)
	}
	long, high := to-from+1, bottom-top+1
	return from >= 0 && from < 2*letter && long > 2.8*letter && long < 6*letter && groups <= 5 &&
		float64(columns) > 0.5*long && high > 0.3*b.wide && top > -0.55*b.wide && bottom < 0.55*b.wide
}

// behind returns the shade at a place behind the end of a bar.
func (p plane) behind(b bar, along, across float64) (shade int32, inside bool) {
	along += b.length / 2
	x := int(math.Round(b.x + along*b.cos - across*b.sin))
	y := int(math.Round(b.y + along*b.sin + across*b.cos))
	if x < 0 || y < 0 || x >= p.w || y >= p.h {
		return 0, false
	}
	return p.pix[y*p.w+x], true
}

// shades returns the darkest and the lightest shade in an area behind a bar.
func (p plane) shades(b bar, from, to, half float64) (dark, light int32) {
	dark, light = math.MaxInt32, 0
	for along := from; along < to; along++ {
		for across := -half; across <= half; across++ {
			if shade, inside := p.behind(b, along, across); inside {
				dark, light = min(dark, shade), max(light, shade)
			}
		}
	}
	return dark, light
}
