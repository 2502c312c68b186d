// Package distort rotates, blurs, scales, recompresses and covers images, as scanners, phones and messengers do. It is
// deterministic. It is for tests and examples.
package distort

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"

	"golang.org/x/image/draw"
	"golang.org/x/image/math/f64"
)

// Desk is the background of a rotated card.
var Desk = color.RGBA{142, 130, 116, 255}

// Turn rotates an image clockwise onto a larger canvas with Desk as background.
func Turn(img image.Image, degrees float64) *image.RGBA {
	w, h := float64(img.Bounds().Dx()), float64(img.Bounds().Dy())
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	outW, outH := math.Abs(w*cos)+math.Abs(h*sin), math.Abs(w*sin)+math.Abs(h*cos)
	out := image.NewRGBA(image.Rect(0, 0, int(math.Round(outW)), int(math.Round(outH))))
	draw.Draw(out, out.Rect, image.NewUniform(Desk), image.Point{}, draw.Src)
	midX, midY := w/2+float64(img.Bounds().Min.X), h/2+float64(img.Bounds().Min.Y)
	draw.BiLinear.Transform(out, f64.Aff3{
		cos, -sin, outW/2 - cos*midX + sin*midY,
		sin, cos, outH/2 - sin*midX - cos*midY,
	}, img, img.Bounds(), draw.Over, nil)
	return out
}

// Scale changes both sides by a factor.
func Scale(img image.Image, by float64) *image.RGBA {
	size := img.Bounds().Size()
	out := image.NewRGBA(image.Rect(0, 0, int(math.Round(float64(size.X)*by)), int(math.Round(float64(size.Y)*by))))
	draw.BiLinear.Scale(out, out.Rect, img, img.Bounds(), draw.Src, nil)
	return out
}

// Blur is Gaussian; sigma is in pixels. A grey image stays grey, which is four times as fast.
func Blur(img image.Image, sigma float64) image.Image {
	weights := kernel(sigma)
	if grey, ok := img.(*image.Gray); ok && grey.Stride == grey.Rect.Dx() {
		pix := blurred(grey.Pix, weights, grey.Rect.Dx(), grey.Rect.Dy(), 1)
		return &image.Gray{Pix: pix, Stride: grey.Stride, Rect: grey.Rect}
	}
	src := image.NewRGBA(image.Rectangle{Max: img.Bounds().Size()})
	draw.Draw(src, src.Rect, img, img.Bounds().Min, draw.Src)
	return &image.RGBA{Pix: blurred(src.Pix, weights, src.Rect.Dx(), src.Rect.Dy(), 4), Stride: src.Stride, Rect: src.Rect}
}

// kernel is a bell curve out to three sigma; its sum is 1.
func kernel(sigma float64) []float32 {
	if sigma <= 0 {
		return []float32{1}
	}
	reach := int(math.Ceil(3 * sigma))
	weights := make([]float64, 2*reach+1)
	sum := 0.0
	for i := range weights {
		d := float64(i-reach) / sigma
		weights[i] = math.Exp(-d * d / 2)
		sum += weights[i]
	}
	out := make([]float32, len(weights))
	for i, weight := range weights {
		out[i] = float32(weight / sum)
	}
	return out
}

// blurred runs the kernel along the rows and then along the columns of an image with a number of bytes per pixel.
func blurred(pix []byte, weights []float32, w, h, channels int) []byte {
	across := convolve(pix, weights, w, h*channels, channels, func(line int) int { return line/channels*w*channels + line%channels })
	return convolve(across, weights, h, w*channels, w*channels, func(line int) int { return line })
}

// convolve processes lines of n bytes, step apart; at returns the start of a line. Edges are repeated.
func convolve(pix []byte, weights []float32, n, lines, step int, at func(line int) int) []byte {
	out := make([]byte, len(pix))
	reach := len(weights) / 2
	padded := make([]float32, n+2*reach)
	for line := range lines {
		start := at(line)
		for i := range padded {
			padded[i] = float32(pix[start+max(0, min(n-1, i-reach))*step])
		}
		for i := range n {
			sum := float32(0.5)
			for k, weight := range weights {
				sum += weight * padded[i+k]
			}
			out[start+i*step] = uint8(sum)
		}
	}
	return out
}

// JPEG encodes at a quality of 1 to 100. It panics if the image is too large for JPEG.
func JPEG(img image.Image, quality int) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: quality}); err != nil {
		panic(fmt.Sprintf("distort: encode JPEG: %v", err))
	}
	return b.Bytes()
}

// Recompress adds JPEG artefacts.
func Recompress(img image.Image, quality int) image.Image {
	out, err := jpeg.Decode(bytes.NewReader(JPEG(img, quality)))
	if err != nil {
		panic(fmt.Sprintf("distort: decode own JPEG: %v", err))
	}
	return out
}

// Cover paints over a rectangle.
func Cover(img draw.Image, area image.Rectangle, with color.Color) {
	draw.Draw(img, area, image.NewUniform(with), image.Point{}, draw.Src)
}

// Grey converts to grey, like a photocopy.
func Grey(img image.Image) *image.Gray {
	out := image.NewGray(image.Rectangle{Max: img.Bounds().Size()})
	draw.Draw(out, out.Rect, img, img.Bounds().Min, draw.Src)
	return out
}
