package specimen

import (
	"fmt"
	"image"
	"image/color"
	"math"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gomonobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/f64"
	"golang.org/x/image/math/fixed"
)

// The fonts are part of golang.org/x/image, so a card is the same on every machine.
var (
	regular = mustFont(goregular.TTF)
	bold    = mustFont(gobold.TTF)
	mono    = mustFont(gomonobold.TTF)
)

// mustFont panics on an invalid font; the fonts are compiled in.
func mustFont(ttf []byte) *opentype.Font {
	f, err := opentype.Parse(ttf)
	if err != nil {
		panic(fmt.Sprintf("specimen: parse font: %v", err))
	}
	return f
}

// A canvas draws in card units on pixels.
type canvas struct {
	img   *image.RGBA
	scale float64 // pixels per unit
}

func newCanvas(w, h, scale float64, ground color.Color) canvas {
	c := canvas{image.NewRGBA(image.Rect(0, 0, int(math.Round(w*scale)), int(math.Round(h*scale)))), scale}
	draw.Draw(c.img, c.img.Rect, image.NewUniform(ground), image.Point{}, draw.Src)
	return c
}

func (c canvas) pixels(b box) image.Rectangle {
	r := func(v float64) int { return int(math.Round(v * c.scale)) }
	return image.Rect(r(b.x), r(b.y), r(b.x+b.w), r(b.y+b.h))
}

func (c canvas) fill(b box, with color.Color) {
	draw.Draw(c.img, c.pixels(b), image.NewUniform(with), image.Point{}, draw.Over)
}

// text writes from the base line start (x, y); size is the em in units.
func (c canvas) text(f *opentype.Font, size, x, y float64, ink color.Color, text string) {
	write(c.img, f, size*c.scale, x*c.scale, y*c.scale, ink, text)
}

func write(dst draw.Image, f *opentype.Font, size, x, y float64, ink color.Color, text string) {
	d := font.Drawer{
		Dst: dst, Src: image.NewUniform(ink), Face: face(f, size),
		Dot: fixed.Point26_6{X: fixed.Int26_6(x * 64), Y: fixed.Int26_6(y * 64)},
	}
	d.DrawString(text)
}

// face panics on an invalid font.
func face(f *opentype.Font, size float64) font.Face {
	made, err := opentype.NewFace(f, &opentype.FaceOptions{Size: size, DPI: 72})
	if err != nil {
		panic(fmt.Sprintf("specimen: size font: %v", err))
	}
	return made
}

// watermark writes SPECIMEN diagonally over a box, translucently.
func (c canvas) watermark(b box, size, degrees float64) {
	const text = "SPECIMEN"
	width := float64(font.MeasureString(face(bold, size*c.scale), text)) / 64
	layer := image.NewRGBA(image.Rect(0, 0, int(width)+2, int(1.2*size*c.scale)))
	write(layer, bold, size*c.scale, 1, 0.95*size*c.scale, stamp, text)
	sin, cos := math.Sincos(-degrees * math.Pi / 180)
	middleX, middleY := float64(layer.Rect.Dx())/2, float64(layer.Rect.Dy())/2
	toX, toY := (b.x+b.w/2)*c.scale, (b.y+b.h/2)*c.scale
	draw.BiLinear.Transform(c.img, f64.Aff3{
		cos, -sin, toX - cos*middleX + sin*middleY,
		sin, cos, toY - sin*middleX - cos*middleY,
	}, layer, layer.Rect, draw.Over, nil)
}

// ellipse draws a filled ellipse with soft edges, for portraits.
func (c canvas) ellipse(b box, within box, with color.RGBA) {
	clip := c.pixels(within)
	rx, ry := b.w/2*c.scale, b.h/2*c.scale
	mx, my := (b.x+b.w/2)*c.scale, (b.y+b.h/2)*c.scale
	for y := clip.Min.Y; y < clip.Max.Y; y++ {
		for x := clip.Min.X; x < clip.Max.X; x++ {
			dx, dy := (float64(x)+0.5-mx)/rx, (float64(y)+0.5-my)/ry
			part := math.Max(0, math.Min(1, (1-math.Hypot(dx, dy))*math.Min(rx, ry)+0.5))
			if part > 0 {
				c.img.SetRGBA(x, y, blend(c.img.RGBAAt(x, y), with, part))
			}
		}
	}
}

func blend(under, over color.RGBA, part float64) color.RGBA {
	mix := func(a, b uint8) uint8 { return uint8(math.Round(float64(a)*(1-part) + float64(b)*part)) }
	return color.RGBA{mix(under.R, over.R), mix(under.G, over.G), mix(under.B, over.B), 255}
}
