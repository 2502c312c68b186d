package qr

import (
	"image"
	"image/draw"
)

// Luma returns the brightness of an image, without a copy where the image has such a plane. It ignores alpha.
func Luma(img image.Image) *image.Gray {
	area := image.Rectangle{Max: img.Bounds().Size()}
	out := image.NewGray(area)
	switch src := img.(type) {
	case *image.Gray:
		return &image.Gray{Pix: src.Pix, Stride: src.Stride, Rect: area}
	case *image.YCbCr:
		return &image.Gray{Pix: src.Y[src.YOffset(src.Rect.Min.X, src.Rect.Min.Y):], Stride: src.YStride, Rect: area}
	case *image.RGBA:
		for y := range area.Max.Y {
			row, quads := out.Pix[y*out.Stride:][:area.Max.X], src.Pix[y*src.Stride:]
			for x := range row {
				p := quads[4*x : 4*x+3 : 4*x+3]
				// The weights of ITU-R BT.601, as in image/color.
				row[x] = uint8((19595*uint32(p[0]) + 38470*uint32(p[1]) + 7471*uint32(p[2]) + 1<<15) >> 16)
			}
		}
		return out
	}
	draw.Draw(out, area, img, img.Bounds().Min, draw.Src)
	return out
}

// Halve averages blocks of four pixels. This reduces noise and JPEG artefacts, and brings wide modules within reach of the
// local threshold.
func Halve(g *image.Gray) *image.Gray {
	w, h := g.Rect.Dx()/2, g.Rect.Dy()/2
	out := image.NewGray(image.Rect(0, 0, w, h))
	for y := range h {
		a, b := g.Pix[2*y*g.Stride:], g.Pix[(2*y+1)*g.Stride:]
		row := out.Pix[y*out.Stride:][:w]
		a, b = a[:2*w], b[:2*w]
		for x := range row {
			row[x] = uint8((uint(a[2*x]) + uint(a[2*x+1]) + uint(b[2*x]) + uint(b[2*x+1]) + 2) / 4)
		}
	}
	return out
}
