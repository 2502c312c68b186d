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
)

// showsNumber reports whether something like a number of twelve digits in three groups shows, written along a bar.
func (p plane) showsNumber(along bar) bool {
	glyphs := p.turned(along).glyphs()
	if len(glyphs) > maxGlyphs {
		return true
	}
	slices.SortFunc(glyphs, func(a, b image.Rectangle) int { return a.Min.X - b.Min.X })
	return slices.ContainsFunc(glyphs, func(first image.Rectangle) bool { return startsNumber(first, glyphs) })
}

// turned turns a plane until a bar is level.
func (p plane) turned(by bar) plane {
	w, h := float64(p.w), float64(p.h)
	out := plane{w: int(w*math.Abs(by.cos) + h*math.Abs(by.sin)), h: int(h*math.Abs(by.cos) + w*math.Abs(by.sin))}
	out.pix = make([]int32, out.w*out.h)
	for y := range out.h {
		for x := range out.w {
			u, v := float64(x-out.w/2), float64(y-out.h/2)
			fx, fy := w/2+u*by.cos-v*by.sin, h/2+u*by.sin+v*by.cos
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

// glyphs returns the rectangles around connected dark pixels that may be digits.
func (p plane) glyphs() (out []image.Rectangle) {
	sums := make([]int64, (p.w+1)*(p.h+1))
	for y := range p.h {
		row := int64(0)
		for x := range p.w {
			row += int64(p.pix[y*p.w+x])
			sums[(y+1)*(p.w+1)+x+1] = sums[y*(p.w+1)+x+1] + row
		}
	}
	ink := plane{p.w, p.h, make([]int32, len(p.pix))}
	seen := make([]bool, len(p.pix))
	for y := range p.h {
		for x := range p.w {
			x0, x1, y0, y1 := max(0, x-inkWindow), min(p.w, x+inkWindow), max(0, y-inkWindow), min(p.h, y+inkWindow)
			sum := sums[y1*(p.w+1)+x1] - sums[y1*(p.w+1)+x0] - sums[y0*(p.w+1)+x1] + sums[y0*(p.w+1)+x0]
			if int64(p.pix[y*p.w+x]) < sum/int64((x1-x0)*(y1-y0))-inkShade {
				ink.pix[y*p.w+x] = math.MaxInt32 / 2
			} else {
				seen[y*p.w+x] = true
			}
		}
	}
	var region []int
	for start := range seen {
		if seen[start] {
			continue
		}
		region = ink.region(start, seen, region[:0])
		area := image.Rectangle{}
		for _, at := range region {
			area = area.Union(image.Rect(at%p.w, at/p.w, at%p.w+1, at/p.w+1))
		}
		if area.Dy() >= 5 && area.Dx() <= 5*area.Dy() {
			out = append(out, area)
		}
	}
	return out
}

// startsNumber follows glyphs of one height to the right: three groups of at most four. The digits of a group may touch.
func startsNumber(first image.Rectangle, glyphs []image.Rectangle) bool {
	high, at := first.Dy(), first
	groups, n := []image.Rectangle{first}, 1
	for _, g := range glyphs {
		if g.Min.X < at.Max.X-1 || 4*max(g.Dy(), high) > 5*min(g.Dy(), high)+8 || 4*max(g.Min.Y-at.Min.Y, at.Min.Y-g.Min.Y) > high {
			continue
		}
		gap, last := g.Min.X-at.Max.X, len(groups)-1
		if 2*gap > 3*high {
			break
		}
		at = g
		switch {
		case 5*gap >= 2*high:
			groups, n = append(groups, g), 1
		case n == 4:
			return false
		default:
			groups[last], n = groups[last].Union(g), n+1
		}
		if len(groups) > 3 {
			return false
		}
	}
	return len(groups) == 3 && alike(groups[0], groups[1]) && alike(groups[1], groups[2])
}

// alike reports whether two groups of digits may belong to one number.
func alike(a, b image.Rectangle) bool {
	return 5*max(a.Dx(), b.Dx()) <= 7*min(a.Dx(), b.Dx()) && 2*a.Dy() <= a.Dx() && a.Dx() <= 5*a.Dy()
}
