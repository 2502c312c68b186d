package specimen

import (
	"image"
	"image/color"
	"math"

	"github.com/kycq/kycq/internal/qr"
)

// A place is a similarity transformation from card units to an image.
type place struct{ a, b, x, y float64 } // (u, v) → (a·u − b·v + x, b·u + a·v + y)

func (p place) point(u, v float64) qr.Point {
	return qr.Point{X: p.a*u - p.b*v + p.x, Y: p.b*u + p.a*v + p.y}
}

func (p place) corners(b box) [4]qr.Point {
	return [4]qr.Point{p.point(b.x, b.y), p.point(b.x+b.w, b.y), p.point(b.x+b.w, b.y+b.h), p.point(b.x, b.y+b.h)}
}

// placed fits a box of the card to four corners in the image, by least squares.
func placed(b box, at [4]qr.Point) place {
	from := place{a: 1}.corners(b)
	var mu, mv, mx, my float64
	for i := range from {
		mu, mv = mu+from[i].X/4, mv+from[i].Y/4
		mx, my = mx+at[i].X/4, my+at[i].Y/4
	}
	var along, across, size float64
	for i := range from {
		u, v, x, y := from[i].X-mu, from[i].Y-mv, at[i].X-mx, at[i].Y-my
		along += u*x + v*y
		across += u*y - v*x
		size += u*u + v*v
	}
	p := place{a: along / size, b: across / size}
	p.x, p.y = mx-p.a*mu+p.b*mv, my-p.b*mu-p.a*mv
	return p
}

// A sighting is a recognized card.
type sighting struct {
	plan  plan
	place place
	match float64
}

const (
	sureMatch  = 0.8 // correlation of brightness with the layout's bands
	maxStretch = 0.03
)

// recognise finds the card around each code or, without a code, a card that fills the image.
func recognise(img *image.RGBA, codes []qr.Code) []sighting {
	var seen []sighting
	for _, c := range codes {
		if c.Finders < 2 {
			continue
		}
		var best sighting
		for _, layout := range Layouts() {
			for _, b := range plans[layout].codes {
				for turn := range 4 {
					best = better(best, sight(img, plans[layout], placed(b, turned(c.Corners, turn))))
				}
			}
		}
		if best.match >= sureMatch {
			seen = append(seen, best)
		}
	}
	if len(seen) == 0 {
		if whole := filling(img); whole.match >= sureMatch {
			seen = append(seen, whole)
		}
	}
	return seen
}

// filling tries the layouts on the whole image in all four orientations.
func filling(img *image.RGBA) sighting {
	var best sighting
	w, h := float64(img.Rect.Dx()), float64(img.Rect.Dy())
	around := [4]qr.Point{{X: 0, Y: 0}, {X: w, Y: 0}, {X: w, Y: h}, {X: 0, Y: h}}
	for _, layout := range Layouts() {
		p := plans[layout]
		for turn := range 4 {
			cw, ch := w, h
			if turn%2 == 1 {
				cw, ch = h, w
			}
			if math.Abs(math.Log(cw/ch*p.h/p.w)) > maxStretch {
				continue
			}
			best = better(best, sight(img, p, placed(box{0, 0, p.w, p.h}, turned(around, turn))))
		}
	}
	return best
}

// turned begins with another corner.
func turned(corners [4]qr.Point, turn int) [4]qr.Point {
	var out [4]qr.Point
	for i := range out {
		out[i] = corners[(i+turn)%4]
	}
	return out
}

func better(a, b sighting) sighting {
	if b.match > a.match {
		return b
	}
	return a
}

// sight correlates the brightness of the image with a layout: dark bands, light surroundings.
func sight(img *image.RGBA, p plan, at place) sighting {
	var xs, ys []float64
	probes := 0
	probe := func(u, v, expected float64) {
		probes++
		q := at.point(u, v)
		x, y := int(math.Floor(q.X)), int(math.Floor(q.Y))
		if !(image.Point{X: x, Y: y}).In(img.Rect) {
			return
		}
		grey, _ := color.GrayModel.Convert(img.RGBAAt(x, y)).(color.Gray)
		xs, ys = append(xs, expected), append(ys, float64(grey.Y))
	}
	for _, b := range p.bands {
		for i := range 12 {
			u := b.x + b.w*(float64(i)+0.5)/12
			probe(u, b.y+0.12*b.h, 0)
			probe(u, b.y+0.88*b.h, 0)
			if b.y > 1 {
				probe(u, b.y-10, 1)
			}
			if b.y+b.h < p.h-1 {
				probe(u, b.y+b.h+10, 1)
			}
		}
	}
	if len(xs) < probes*2/3 { // most of the card would be outside of the image
		return sighting{}
	}
	return sighting{p, at, correlation(xs, ys)}
}

// correlation is Pearson's; 0 if either side is constant.
func correlation(xs, ys []float64) float64 {
	n := float64(len(xs))
	var sx, sy, sxx, syy, sxy float64
	for i := range xs {
		sx, sy = sx+xs[i], sy+ys[i]
		sxx, syy, sxy = sxx+xs[i]*xs[i], syy+ys[i]*ys[i], sxy+xs[i]*ys[i]
	}
	spread := (n*sxx - sx*sx) * (n*syy - sy*sy)
	if spread <= 0 {
		return 0
	}
	return (n*sxy - sx*sy) / math.Sqrt(spread)
}
