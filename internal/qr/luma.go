package qr

import (
	"image"
	"image/color"
	"image/draw"
)

// lumas gives the brightness planes to search. There is a second one for an image with transparent parts: what lies
// under a transparent pixel does not show, but it is in the file.
func lumas(img image.Image) []*image.Gray {
	switch src := img.(type) {
	case *image.Gray:
		return []*image.Gray{atOrigin(src)}
	case *image.YCbCr:
		y := &image.Gray{Pix: src.Y, Stride: src.YStride, Rect: image.Rectangle{Max: src.Rect.Size()}}
		y.Pix = y.Pix[src.YOffset(src.Rect.Min.X, src.Rect.Min.Y):]
		return []*image.Gray{y}
	case *image.NRGBA:
		if !src.Opaque() {
			return []*image.Gray{overWhite(src), bare(src)}
		}
		return []*image.Gray{bare(src)}
	case interface{ Opaque() bool }:
		if !src.Opaque() {
			return []*image.Gray{overWhite(img), luma(img)}
		}
	}
	return []*image.Gray{luma(img)}
}

func atOrigin(g *image.Gray) *image.Gray {
	return &image.Gray{
		Pix:    g.Pix[g.PixOffset(g.Rect.Min.X, g.Rect.Min.Y):],
		Stride: g.Stride,
		Rect:   image.Rectangle{Max: g.Rect.Size()},
	}
}

// luma converts any image; where it is transparent, the (premultiplied) colour is black.
func luma(img image.Image) *image.Gray {
	size := img.Bounds().Size()
	g := image.NewGray(image.Rectangle{Max: size})
	draw.Draw(g, g.Rect, img, img.Bounds().Min, draw.Src)
	return g
}

// bare is the brightness of the colours as they stand in the file, whatever their alpha.
func bare(img *image.NRGBA) *image.Gray {
	size := img.Rect.Size()
	g := image.NewGray(image.Rectangle{Max: size})
	for y := range size.Y {
		in := img.Pix[img.PixOffset(img.Rect.Min.X, img.Rect.Min.Y+y):]
		out := g.Pix[y*g.Stride:][:size.X]
		for x := range out {
			p := in[4*x : 4*x+3 : 4*x+3]
			// The weights of ITU-R BT.601, as in image/color.
			out[x] = uint8((19595*uint32(p[0]) + 38470*uint32(p[1]) + 7471*uint32(p[2]) + 1<<15) >> 16)
		}
	}
	return g
}

// overWhite is what a viewer with a white page shows.
func overWhite(img image.Image) *image.Gray {
	size := img.Bounds().Size()
	page := image.NewRGBA(image.Rectangle{Max: size})
	draw.Draw(page, page.Rect, image.NewUniform(color.White), image.Point{}, draw.Src)
	draw.Draw(page, page.Rect, img, img.Bounds().Min, draw.Over)
	return luma(page)
}

// halve makes each pixel the mean of four. Noise and the ripples of JPEG lose weight, wide modules come into the
// reach of the local threshold.
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
