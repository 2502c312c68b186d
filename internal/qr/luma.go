package qr

import (
	"image"
	"image/color"
	"image/draw"
)

// lumas returns the brightness planes to search. An image with transparent parts has a second plane with the colours of the
// transparent pixels, which are in the file although they are not visible. The common types of image/jpeg and image/png are
// converted without a second copy of the colours, in half the time.
func lumas(img image.Image) []*image.Gray {
	size := img.Bounds().Size()
	switch src := img.(type) {
	case *image.Gray:
		return []*image.Gray{plane(src.Pix, src.Stride, size)}
	case *image.YCbCr:
		return []*image.Gray{plane(src.Y[src.YOffset(src.Rect.Min.X, src.Rect.Min.Y):], src.YStride, size)}
	case *image.RGBA:
		if src.Opaque() {
			return []*image.Gray{quads(src.Pix, src.Stride, size, bare)}
		}
	case *image.NRGBA:
		if src.Opaque() {
			return []*image.Gray{quads(src.Pix, src.Stride, size, bare)}
		}
		return []*image.Gray{quads(src.Pix, src.Stride, size, overWhite), quads(src.Pix, src.Stride, size, bare)}
	case *image.Paletted:
		planes := []*image.Gray{indexed(src, bare)}
		if !src.Opaque() {
			planes = append(planes, indexed(src, overWhite))
		}
		return planes
	}
	if src, ok := img.(interface{ Opaque() bool }); ok && !src.Opaque() {
		page := image.NewRGBA(image.Rectangle{Max: size})
		draw.Draw(page, page.Rect, image.NewUniform(color.White), image.Point{}, draw.Src)
		draw.Draw(page, page.Rect, img, img.Bounds().Min, draw.Over)
		return []*image.Gray{quads(page.Pix, page.Stride, size, bare), general(img)}
	}
	return []*image.Gray{general(img)}
}

// plane wraps a brightness plane without a copy.
func plane(pix []uint8, stride int, size image.Point) *image.Gray {
	return &image.Gray{Pix: pix, Stride: stride, Rect: image.Rectangle{Max: size}}
}

// bare is the brightness of a colour without its alpha, with the weights of ITU-R BT.601 as in image/color.
func bare(r, g, b, _ uint8) uint8 {
	return uint8((19595*uint32(r) + 38470*uint32(g) + 7471*uint32(b) + 1<<15) >> 16)
}

// overWhite is the brightness on a white background.
func overWhite(r, g, b, a uint8) uint8 {
	return uint8((uint32(bare(r, g, b, a))*uint32(a) + 255*(255-uint32(a)) + 127) / 255)
}

// quads converts pixels of four bytes. A sub-image's Pix begins at its first pixel.
func quads(pix []uint8, stride int, size image.Point, brightness func(r, g, b, a uint8) uint8) *image.Gray {
	out := image.NewGray(image.Rectangle{Max: size})
	for y := range size.Y {
		in := pix[y*stride:][:4*size.X]
		row := out.Pix[y*out.Stride:][:size.X]
		for x := range row {
			p := in[4*x : 4*x+4 : 4*x+4]
			row[x] = brightness(p[0], p[1], p[2], p[3])
		}
	}
	return out
}

// indexed looks each pixel up in the palette.
func indexed(img *image.Paletted, brightness func(r, g, b, a uint8) uint8) *image.Gray {
	var table [256]uint8
	for i, entry := range img.Palette[:min(len(img.Palette), len(table))] {
		if c, ok := color.NRGBAModel.Convert(entry).(color.NRGBA); ok {
			table[i] = brightness(c.R, c.G, c.B, c.A)
		}
	}
	size := img.Rect.Size()
	out := image.NewGray(image.Rectangle{Max: size})
	for y := range size.Y {
		in := img.Pix[y*img.Stride:][:size.X]
		for x, index := range in {
			out.Pix[y*out.Stride+x] = table[index]
		}
	}
	return out
}

// general converts any image; where it is transparent, the (premultiplied) colour is dark.
func general(img image.Image) *image.Gray {
	out := image.NewGray(image.Rectangle{Max: img.Bounds().Size()})
	draw.Draw(out, out.Rect, img, img.Bounds().Min, draw.Src)
	return out
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
