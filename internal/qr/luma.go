package qr

import (
	"image"
	"image/color"
	"image/draw"
)

// lumas returns the brightness planes to search. An image with transparent parts has two: the colours without their alpha,
// since the colours of transparent pixels are in the file although they are not visible, and the colours on white.
func lumas(img image.Image) []*image.Gray {
	area := image.Rectangle{Max: img.Bounds().Size()}
	switch src := img.(type) {
	case *image.Gray:
		return []*image.Gray{{Pix: src.Pix, Stride: src.Stride, Rect: area}}
	case *image.YCbCr:
		return []*image.Gray{{Pix: src.Y[src.YOffset(src.Rect.Min.X, src.Rect.Min.Y):], Stride: src.YStride, Rect: area}}
	}
	src, ok := img.(interface{ Opaque() bool })
	opaque := !ok || src.Opaque()
	row := rows(img, opaque)
	planes := []*image.Gray{image.NewGray(area)}
	if !opaque {
		planes = append(planes, image.NewGray(area))
	}
	for y := range area.Max.Y {
		out := planes[0].Pix[y*area.Max.X:][:area.Max.X]
		for x, quads := 0, row(y); x < len(out); x++ {
			p := quads[4*x : 4*x+4 : 4*x+4]
			// The weights of ITU-R BT.601, as in image/color.
			bare := (19595*uint32(p[0]) + 38470*uint32(p[1]) + 7471*uint32(p[2]) + 1<<15) >> 16
			out[x] = uint8(bare)
			if !opaque {
				alpha := uint32(p[3])
				planes[1].Pix[y*area.Max.X+x] = uint8((bare*alpha + 255*(255-alpha) + 127) / 255)
			}
		}
	}
	return planes
}

// rows returns a function that reads a row of an image as in image.NRGBA: four bytes a pixel, not premultiplied. The result is
// valid until the next call. No copy of the whole image is made.
func rows(img image.Image, opaque bool) func(y int) []uint8 {
	area := img.Bounds()
	buffer := image.NewNRGBA(image.Rect(0, 0, area.Dx(), 1))
	switch src := img.(type) {
	case *image.NRGBA:
		return func(y int) []uint8 { return src.Pix[y*src.Stride:][:4*area.Dx()] }
	case *image.RGBA:
		if opaque { // and so not premultiplied either
			return func(y int) []uint8 { return src.Pix[y*src.Stride:][:4*area.Dx()] }
		}
	case *image.Paletted:
		var table [256]color.NRGBA
		for i, c := range src.Palette[:min(len(src.Palette), len(table))] {
			table[i], _ = color.NRGBAModel.Convert(c).(color.NRGBA)
		}
		return func(y int) []uint8 {
			for x, index := range src.Pix[y*src.Stride:][:area.Dx()] {
				c := table[index]
				copy(buffer.Pix[4*x:], []uint8{c.R, c.G, c.B, c.A})
			}
			return buffer.Pix
		}
	}
	return func(y int) []uint8 {
		draw.Draw(buffer, buffer.Rect, img, area.Min.Add(image.Pt(0, y)), draw.Src)
		return buffer.Pix
	}
}

// halve averages blocks of four pixels. This reduces noise and JPEG artefacts, and brings wide modules within reach of the
// local threshold.
func halve(g *image.Gray) *image.Gray {
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
