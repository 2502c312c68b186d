package maskcheck

import (
	"image"
	"math"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
	"golang.org/x/image/draw"

	"github.com/kycq/kycq/internal/qr"
)

const (
	maxCodes   = 8    // that are tried; an image with more has a visible one
	readerSide = 1200 // pixels of the longest side that is tried
)

// contrasts are the parts of the brightness, darkest to lightest, that are stretched to the whole range for one attempt. The
// thresholds of the reader are local, so as it is is one of them.
var contrasts = [][2]float64{{0, 1}, {0.02, 0.98}, {0.25, 0.75}, {0, 0.5}, {0.5, 1}}

// judge reports that a code is visible or, for a checker of readable codes, that one can be read.
func (c *checker) judge(img image.Image, codes []qr.Code) (review string, err error) {
	n := 0
	for _, code := range codes {
		if code.Finders < 2 {
			review = ReviewFinderPatterns
			continue
		}
		if n++; !c.readable || n > maxCodes || canRead(qr.Luma(img), code) {
			return "", unsafe(VisibleQR)
		}
	}
	if n > 0 {
		review = ReviewUnreadableQR
	}
	return review, nil
}

// canRead reports whether a reader reads a code.
func canRead(bright *image.Gray, code qr.Code) bool {
	area := image.Rectangle{}
	for _, p := range code.Corners {
		area = area.Union(image.Rect(int(p.X), int(p.Y), int(p.X)+1, int(p.Y)+1))
	}
	margin := max(area.Dx(), area.Dy()) / 8
	area = area.Inset(-margin).Intersect(bright.Rect)
	if area.Empty() {
		return false
	}
	// Small codes are read better at twice their size.
	zoom := min(2, float64(readerSide)/float64(max(area.Dx(), area.Dy())))
	part := image.NewGray(image.Rect(0, 0, max(1, int(float64(area.Dx())*zoom)), max(1, int(float64(area.Dy())*zoom))))
	draw.BiLinear.Scale(part, part.Rect, bright, area, draw.Src, nil)
	for _, contrast := range contrasts {
		if reads(stretched(part, contrast[0], contrast[1])) {
			return true
		}
	}
	return false
}

// stretched maps the brightness between two quantiles to the whole range.
func stretched(g *image.Gray, from, to float64) *image.Gray {
	var histogram [256]int
	for _, v := range g.Pix {
		histogram[v]++
	}
	quantile := func(q float64) float64 {
		n := 0
		for v, count := range histogram {
			if n += count; float64(n) > q*float64(len(g.Pix)-1) {
				return float64(v)
			}
		}
		return 255
	}
	dark, light := quantile(from), quantile(to)
	var table [256]uint8
	for v := range table {
		table[v] = uint8(math.Max(0, math.Min(255, (float64(v)-dark)*255/math.Max(1, light-dark))))
	}
	out := image.NewGray(g.Rect)
	for i, v := range g.Pix {
		out.Pix[i] = table[v]
	}
	return out
}

func reads(g *image.Gray) bool {
	source := gozxing.NewLuminanceSourceFromImage(g)
	for _, s := range []gozxing.LuminanceSource{source, source.Invert()} {
		bitmap, err := gozxing.NewBinaryBitmap(gozxing.NewHybridBinarizer(s))
		if err != nil {
			continue
		}
		hints := map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_TRY_HARDER: true}
		if _, err = qrcode.NewQRCodeReader().Decode(bitmap, hints); err == nil {
			return true
		}
	}
	return false
}
