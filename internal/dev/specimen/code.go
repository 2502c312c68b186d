package specimen

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"strings"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode/decoder"
	"github.com/makiuchi-d/gozxing/qrcode/encoder"
)

// content is the content of the QR code, padded to fill the version, so that the density is that of real cards.
func content(p Person, capacity int) string {
	text := fmt.Sprintf(`<SPECIMEN note="NOT A REAL PERSON" uid=%q name=%q dob=%q gender=%q address=%q/>`,
		p.Number, p.Name, p.Born, p.Gender, strings.Join(p.Address, ", "))
	if missing := capacity - len(text); missing > 0 {
		text += strings.Repeat(" SPECIMEN", missing/9+1)
	}
	return text[:capacity]
}

// modules encodes the person at a version (1 to 40); error correction is level L up to version 40, as on real cards,
// or M if tough is set.
func modules(p Person, version int, tough bool) *encoder.ByteMatrix {
	level := decoder.ErrorCorrectionLevel_L
	if tough {
		level = decoder.ErrorCorrectionLevel_M
	}
	v, err := decoder.Version_GetVersionForNumber(version)
	if err != nil {
		panic(fmt.Sprintf("specimen: QR version %d is not 1 to 40", version))
	}
	// 4 bits of mode, up to 16 of length, and up to 12 that name the character set: 4 bytes.
	capacity := v.GetTotalCodewords() - v.GetECBlocksForLevel(level).GetTotalECCodewords() - 4
	code, err := encoder.Encoder_encode(content(p, capacity), level,
		map[gozxing.EncodeHintType]interface{}{gozxing.EncodeHintType_QR_VERSION: version})
	if err != nil {
		panic(fmt.Sprintf("specimen: encode QR version %d: %v", version, err))
	}
	return code.GetMatrix()
}

// code draws a QR code that fills a box, with a quiet zone of 4 modules around it. Each pixel has the dark share of the
// modules that it covers, as from a scanner.
func (c canvas) code(b box, matrix *encoder.ByteMatrix) {
	n := matrix.GetWidth()
	c.fill(b.grown(4*b.w/float64(n)), color.White)
	area := c.pixels(b.grown(1))
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			fx, fy := (float64(x)/c.scale-b.x)/b.w*float64(n), (float64(y)/c.scale-b.y)/b.h*float64(n)
			step := float64(n) / (b.w * c.scale)
			dark := darkness(matrix, fx, fy, step)
			if dark > 0 && (image.Point{X: x, Y: y}).In(c.img.Rect) {
				c.img.SetRGBA(x, y, blend(color.RGBA{255, 255, 255, 255}, color.RGBA{16, 16, 16, 255}, dark))
			}
		}
	}
}

// darkness is the dark share of the square at (x, y) with the given side, in modules.
func darkness(matrix *encoder.ByteMatrix, x, y, side float64) float64 {
	n := matrix.GetWidth()
	sum := 0.0
	for my := max(0, int(math.Floor(y))); my < n && float64(my) < y+side; my++ {
		high := math.Min(y+side, float64(my+1)) - math.Max(y, float64(my))
		for mx := max(0, int(math.Floor(x))); mx < n && float64(mx) < x+side; mx++ {
			if wide := math.Min(x+side, float64(mx+1)) - math.Max(x, float64(mx)); matrix.Get(mx, my) == 1 && wide > 0 && high > 0 {
				sum += wide * high
			}
		}
	}
	return sum / (side * side)
}
