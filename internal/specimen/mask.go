package specimen

import (
	"image"
	"image/color"
	"image/draw"
	"math"

	"golang.org/x/image/vector"

	"github.com/kycq/kycq/internal/qr"
)

var blocked = color.RGBA{40, 40, 44, 255}

// Mask gives a copy of the image with every QR code and, on a card of this package, the first eight digits of every
// number painted over. It is false where there was nothing to mask; the image is then nil.
//
// The digits are not read. A QR code's place, size and angle say where the card's edges and numbers would be on each
// layout, and the layout is taken whose dark bands are where they should be; so copies that were turned, rescaled,
// blurred, recompressed or turned grey are masked too, mirrored ones and ones in strong perspective are not. A card
// whose codes cannot be seen is recognised only if it fills the image. On any other image only the QR codes are covered.
func Mask(img image.Image) (image.Image, bool) {
	codes := qr.Find(img)
	out := image.NewRGBA(image.Rectangle{Max: img.Bounds().Size()})
	draw.Draw(out, out.Rect, img, img.Bounds().Min, draw.Src)
	masked := false
	for _, c := range codes {
		if c.Finders == 3 {
			cover(out, grownCorners(c.Corners, 1.06))
			masked = true
		}
	}
	for _, card := range recognise(out, img, codes) {
		for _, b := range card.plan.codes {
			cover(out, card.place.corners(b.grown(0.02*b.w)))
		}
		for _, b := range card.plan.numbers {
			eight := firstEight(b)
			cover(out, card.place.corners(box{eight.x - 0.25*b.h, eight.y - 0.1*b.h, eight.w + 0.25*b.h, 1.2 * b.h}))
		}
		masked = true
	}
	if !masked {
		return nil, false
	}
	return out, true
}

// cover paints a quadrilateral.
func cover(dst *image.RGBA, corners [4]qr.Point) {
	r := vector.NewRasterizer(dst.Rect.Dx(), dst.Rect.Dy())
	r.MoveTo(float32(corners[0].X), float32(corners[0].Y))
	for _, p := range corners[1:] {
		r.LineTo(float32(p.X), float32(p.Y))
	}
	r.ClosePath()
	r.Draw(dst, dst.Rect, image.NewUniform(blocked), image.Point{})
}

// grownCorners moves corners away from their middle.
func grownCorners(corners [4]qr.Point, by float64) [4]qr.Point {
	var middle qr.Point
	for _, p := range corners {
		middle.X, middle.Y = middle.X+p.X/4, middle.Y+p.Y/4
	}
	for i, p := range corners {
		corners[i] = qr.Point{X: middle.X + (p.X-middle.X)*by, Y: middle.Y + (p.Y-middle.Y)*by}
	}
	return corners
}

// A place is a similarity: it puts card units on an image, turned, scaled and moved.
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

// A sighting is a card of a known layout in an image.
type sighting struct {
	plan  plan
	place place
	match float64
}

const (
	sureMatch  = 0.8 // correlation of brightness with the layout's bands
	maxStretch = 0.03
)

// recognise finds the card around each code; without any, the card that fills the image.
func recognise(size image.Image, img image.Image, codes []qr.Code) []sighting {
	_ = size
	var seen []sighting
	for _, c := range codes {
		if c.Finders < 3 {
			continue
		}
		var best sighting
		for _, p := range plans {
			for _, b := range p.codes {
				best = better(best, sight(img, p, placed(b, c.Corners)))
			}
		}
		if best.match >= sureMatch {
			seen = append(seen, best)
		}
	}
	if len(seen) > 0 {
		return seen
	}
	var best sighting
	w, h := float64(img.Bounds().Dx()), float64(img.Bounds().Dy())
	around := [4]qr.Point{{X: 0, Y: 0}, {X: w, Y: 0}, {X: w, Y: h}, {X: 0, Y: h}}
	for _, p := range plans {
		for turn := range 4 {
			cw, ch := w, h
			if turn%2 == 1 {
				cw, ch = h, w
			}
			if math.Abs(math.Log(cw/ch*p.h/p.w)) > maxStretch {
				continue
			}
			var at [4]qr.Point
			for i := range at {
				at[i] = around[(i+turn)%4]
			}
			best = better(best, sight(img, p, placed(box{0, 0, p.w, p.h}, at)))
		}
	}
	if best.match >= sureMatch {
		return []sighting{best}
	}
	return nil
}

func better(a, b sighting) sighting {
	if b.match > a.match {
		return b
	}
	return a
}

// sight correlates the image's brightness with a layout: low on the bands, high on the paper just beside them.
func sight(img image.Image, p plan, at place) sighting {
	var xs, ys []float64
	probe := func(u, v, expected float64) {
		q := at.point(u, v)
		x, y := int(math.Floor(q.X))+img.Bounds().Min.X, int(math.Floor(q.Y))+img.Bounds().Min.Y
		if !(image.Point{X: x, Y: y}).In(img.Bounds()) {
			return
		}
		xs, ys = append(xs, expected), append(ys, float64(color.GrayModel.Convert(img.At(x, y)).(color.Gray).Y))
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
	return sighting{p, at, correlation(xs, ys)}
}

// correlation is Pearson's; 0 where either side is constant.
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
