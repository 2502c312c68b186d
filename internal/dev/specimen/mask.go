package specimen

import (
	"image"
	"image/color"
	"image/draw"
	"math"

	"github.com/kycq/kycq/internal/qr"
)

var blocked = color.RGBA{40, 40, 44, 255}

// Mask returns a copy of the image with all QR codes covered and, on a card of this package, the first eight digits of all
// numbers. It returns false, and no image, if there is nothing to mask.
//
// It does not read digits. For each layout, the position, size and angle of a QR code determine the position of the card; the
// layout whose dark bands match is used. So rotated, scaled, blurred, recompressed and grey copies are masked, but not
// mirrored ones or those in strong perspective. A card without a visible code is recognized only if it fills the image. On
// other images only QR codes are covered.
func Mask(img image.Image) (image.Image, bool) {
	codes, _ := qr.Find(img)
	out := image.NewRGBA(image.Rectangle{Max: img.Bounds().Size()})
	draw.Draw(out, out.Rect, img, img.Bounds().Min, draw.Src)
	masked := false
	for _, c := range codes {
		if c.Finders > 1 {
			cover(out, grownCorners(c.Corners, 1.06))
			masked = true
		}
	}
	for _, card := range recognise(out, codes) {
		for _, b := range card.plan.codes {
			cover(out, card.place.corners(b.grown(0.02*b.w)))
		}
		for _, b := range card.plan.numbers {
			// The right margin is half of the space before the last four digits.
			eight, letter := firstEight(b), b.w/14
			cover(out, card.place.corners(box{eight.x - letter/2, eight.y - 0.1*b.h, eight.w + letter, 1.2 * b.h}))
		}
		masked = true
	}
	if !masked {
		return nil, false
	}
	return out, true
}

// cover fills a quadrilateral.
func cover(dst *image.RGBA, corners [4]qr.Point) {
	quad, area := qr.Code{Corners: corners}, image.Rectangle{}
	for _, p := range corners {
		x, y := int(math.Floor(p.X)), int(math.Floor(p.Y))
		area = area.Union(image.Rect(x, y, x+1, y+1))
	}
	area = area.Intersect(dst.Rect)
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			if quad.Contains(qr.Point{X: float64(x) + 0.5, Y: float64(y) + 0.5}) {
				dst.SetRGBA(x, y, blocked)
			}
		}
	}
}

// grownCorners moves corners away from their centre.
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
