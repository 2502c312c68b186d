package qr_test

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"math/rand/v2"
	"testing"

	scale "golang.org/x/image/draw"

	"github.com/kycq/kycq/internal/dev/specimen"
	"github.com/kycq/kycq/internal/dev/specimen/distort"
	"github.com/kycq/kycq/internal/qr"
)

// find fails the test if the picture is too busy.
func find(t *testing.T, img image.Image) []qr.Code {
	t.Helper()
	codes, busy := qr.Find(img)
	if busy {
		t.Error("too busy")
	}
	return codes
}

// visible are the codes of which more than one finder pattern shows.
func visible(codes []qr.Code) []qr.Code {
	var out []qr.Code
	for _, c := range codes {
		if c.Finders > 1 {
			out = append(out, c)
		}
	}
	return out
}

// bounds is the rectangle around a code.
func bounds(c qr.Code) image.Rectangle {
	out := image.Rectangle{}
	for _, p := range c.Corners {
		out = out.Union(image.Rect(int(p.X), int(p.Y), int(p.X)+1, int(p.Y)+1))
	}
	return out
}

// strip is a card with one code of 336 pixels, and where the code is.
func strip(version int) (*image.RGBA, image.Rectangle) {
	card := specimen.Card{Layout: specimen.Short, Person: specimen.NewPerson(3), Version: version, Tough: true}
	return specimen.Draw(card), specimen.CodeAreas(specimen.Short, 1)[0]
}

// near reports whether rectangles differ by at most a margin on every side.
func near(a, b image.Rectangle, margin int) bool {
	return a.In(b.Inset(-margin)) && b.In(a.Inset(-margin))
}

func TestFindSeesEveryVersionOfARealCard(t *testing.T) {
	t.Parallel()
	for version := 8; version <= 40; version += 8 {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			img, area := strip(version)
			codes := find(t, img)
			if len(codes) != 1 || codes[0].Finders != 3 || !near(bounds(codes[0]), area, 4) {
				t.Errorf("%+v, want one code at %v", codes, area)
			}
		})
	}
}

func TestFindSeesCodesAtEveryAngle(t *testing.T) {
	t.Parallel()
	strip, area := strip(16)
	img := strip.SubImage(area.Inset(-40))
	for angle := 0; angle < 360; angle += 40 {
		t.Run(fmt.Sprint(angle), func(t *testing.T) {
			t.Parallel()
			if codes := find(t, distort.Turn(img, float64(angle))); len(visible(codes)) != 1 {
				t.Errorf("not found at %d°", angle)
			}
		})
	}
}

// tilted is a picture of an image that leans back, away from its left or top side.
func tilted(img *image.Gray, degrees float64, sideways bool) *image.Gray {
	w, h := float64(img.Rect.Dx()), float64(img.Rect.Dy())
	out := image.NewGray(img.Rect)
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	away := 2.5 * max(w, h)
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			u, v := float64(x)-w/2, float64(y)-h/2
			if sideways {
				u, v = v, u
			}
			p := u * away / (away*cos - u*sin)
			q := v * (away + p*sin) / away
			if sideways {
				p, q = q, p
			}
			out.SetGray(x, y, img.GrayAt(int(math.Round(p+w/2)), int(math.Round(q+h/2))))
		}
	}
	return out
}

func TestFindSeesTiltedCodes(t *testing.T) {
	t.Parallel()
	for _, version := range []int{14, 40} {
		img, area := strip(version)
		part := distort.Grey(distort.Scale(img.SubImage(area.Inset(-60)), 2))
		for _, degrees := range []float64{20, 45} {
			for _, sideways := range []bool{false, true} {
				seen := distort.Recompress(tilted(part, degrees, sideways), 70)
				if codes := visible(find(t, seen)); len(codes) != 1 {
					t.Errorf("version %d at %v°, sideways %t: %d codes", version, degrees, sideways, len(codes))
				}
			}
		}
	}
}

func TestFindSeesACodeBelowAMaskThatIsNotOpaque(t *testing.T) {
	t.Parallel()
	img, area := strip(14)
	for _, shade := range []float64{0, 40, 128, 200} {
		for _, rest := range []float64{0.15, 0.01} {
			for _, margin := range []int{8, 40} {
				out := distort.Grey(img)
				for y := area.Min.Y - margin; y < area.Max.Y+margin; y++ {
					for x := area.Min.X - margin; x < area.Max.X+margin; x++ {
						v := &out.Pix[y*out.Stride+x]
						*v = uint8(float64(*v)*rest + shade*(1-rest) + 0.5)
					}
				}
				if codes := visible(find(t, out)); len(codes) != 1 {
					t.Errorf("%v of a code below shade %v with a margin of %d: %d codes", rest, shade, margin, len(codes))
				}
			}
		}
	}
}

func TestFindSeesAllCodesOfAnImage(t *testing.T) {
	t.Parallel()
	letter := specimen.Draw(specimen.Card{Layout: specimen.Long, Person: specimen.NewPerson(4)})
	codes := visible(find(t, letter))
	if len(codes) != 2 {
		t.Fatalf("%d codes of the letter's 2", len(codes))
	}
	areas := specimen.CodeAreas(specimen.Long, 1)
	for _, area := range areas {
		if !near(bounds(codes[0]), area, 4) && !near(bounds(codes[1]), area, 4) {
			t.Errorf("no code at %v", area)
		}
	}
}

func TestFindSeesUnusualCodes(t *testing.T) {
	t.Parallel()
	img, area := strip(14)
	module := area.Dx() / 73
	covered := func(cover image.Rectangle) image.Image {
		out := image.NewRGBA(img.Rect)
		draw.Draw(out, out.Rect, img, image.Point{}, draw.Src)
		distort.Cover(out, cover, color.White)
		return out
	}
	corner := func(x, y int) image.Rectangle { // a finder pattern with its margin
		return image.Rect(x, y, x+8*module, y+8*module)
	}
	for name, picture := range map[string]image.Image{
		"mirrored":                   mapped(img, func(p image.Point) image.Point { return image.Pt(img.Rect.Dx()-1-p.X, p.Y) }, 0),
		"light on dark":              mapped(img, func(p image.Point) image.Point { return p }, 255),
		"cut without a margin":       img.SubImage(area),
		"a third of the size":        distort.Scale(img, 0.4),
		"eight times the size":       distort.Scale(img.SubImage(area.Inset(-20)), 6),
		"top left corner covered":    covered(corner(area.Min.X, area.Min.Y)),
		"top right corner covered":   covered(corner(area.Max.X-8*module, area.Min.Y)),
		"bottom left corner covered": covered(corner(area.Min.X, area.Max.Y-8*module)),
		"half of a corner covered":   covered(image.Rect(area.Min.X, area.Min.Y, area.Min.X+3*module, area.Min.Y+8*module)),
		"in a dark frame":            framed(img.SubImage(area.Inset(-10))),
		"under a shadow":             shadowed(img),
		"large, under a shadow":      shadowed(distort.Scale(img.SubImage(area.Inset(-20)), 6)),
		"stretched by a sixth":       stretched(img),
		"in the dark":                noisy(img.SubImage(area.Inset(-40))),
		"drawn with gaps":            distort.Scale(gapped(img, area, 73).SubImage(area.Inset(-40)), 4),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if codes := visible(find(t, picture)); len(codes) != 1 {
				t.Errorf("%d codes, want 1", len(codes))
			}
		})
	}
}

// mapped moves each pixel's source and flips its bits.
func mapped(img *image.RGBA, from func(image.Point) image.Point, flip uint8) image.Image {
	out := image.NewGray(img.Rect)
	grey := distort.Grey(img)
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			p := from(image.Pt(x, y))
			out.Pix[y*out.Stride+x] = grey.GrayAt(p.X, p.Y).Y ^ flip
		}
	}
	return out
}

func framed(img image.Image) image.Image {
	out := image.NewRGBA(image.Rect(0, 0, 900, 900))
	draw.Draw(out, out.Rect, image.Black, image.Point{}, draw.Src)
	draw.Draw(out, image.Rect(200, 200, 200+img.Bounds().Dx(), 200+img.Bounds().Dy()), img, img.Bounds().Min, draw.Src)
	return out
}

// shadowed darkens the picture to a third from left to right.
func shadowed(img *image.RGBA) image.Image {
	out := distort.Grey(img)
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			i := y*out.Stride + x
			out.Pix[i] = uint8(float64(out.Pix[i]) * (1 - 0.66*float64(x)/float64(out.Rect.Dx())))
		}
	}
	return out
}

// stretched makes the patterns' width a bad measure of the code's.
func stretched(img image.Image) image.Image {
	out := image.NewRGBA(image.Rect(0, 0, img.Bounds().Dx()*7/6, img.Bounds().Dy()))
	scale.BiLinear.Scale(out, out.Rect, img, img.Bounds(), scale.Src, nil)
	return out
}

// noisy is what a sensor makes of weak light: less contrast, and grain of a fifth of the range.
func noisy(img image.Image) image.Image {
	out := distort.Grey(img)
	rng := rand.New(rand.NewPCG(9, 9))
	for i, v := range out.Pix {
		out.Pix[i] = uint8(max(0, min(255, 60+0.6*float64(v)+50*rng.NormFloat64())))
	}
	return out
}

// gapped leaves a tenth of each module white on all sides, as some programs draw codes.
func gapped(img *image.RGBA, area image.Rectangle, modules int) *image.Gray {
	out := distort.Grey(img)
	inModule := func(at, from int) float64 {
		_, part := math.Modf((float64(at-from) + 0.5) * float64(modules) / float64(area.Dx()))
		return math.Min(part, 1-part)
	}
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			if math.Min(inModule(x, area.Min.X), inModule(y, area.Min.Y)) < 0.1 {
				out.Pix[y*out.Stride+x] = 255
			}
		}
	}
	return out
}

func TestFindSeesACodeThatCannotBeRead(t *testing.T) {
	t.Parallel()
	img, area := strip(14)
	distort.Cover(img, area.Inset(45), color.White) // all but the corners
	codes := find(t, img)
	if len(codes) != 1 || codes[0].Finders != 3 || !near(bounds(codes[0]), area, 12) {
		t.Errorf("got %+v, want one code at %v", codes, area)
	}
}

func TestFindReportsASinglePattern(t *testing.T) {
	t.Parallel()
	img, area := strip(14)
	distort.Cover(img, image.Rect(area.Min.X, area.Min.Y+40, area.Max.X, area.Max.Y), color.White)
	distort.Cover(img, image.Rect(area.Min.X+40, area.Min.Y, area.Max.X, area.Max.Y), color.White)
	codes := find(t, img)
	if len(codes) != 1 || codes[0].Finders != 1 {
		t.Errorf("got %+v, want one single pattern", codes)
	}
}

func TestFindSeesNothingWhereNothingIs(t *testing.T) {
	t.Parallel()
	noise := image.NewGray(image.Rect(0, 0, 800, 600))
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range noise.Pix {
		noise.Pix[i] = uint8(rng.IntN(256))
	}
	for name, img := range map[string]image.Image{
		"an empty image":     image.NewGray(image.Rectangle{}),
		"one pixel":          image.NewGray(image.Rect(0, 0, 1, 1)),
		"a row":              image.NewGray(image.Rect(0, 0, 500, 1)),
		"a column":           image.NewGray(image.Rect(0, 0, 1, 500)),
		"white":              image.NewRGBA(image.Rect(0, 0, 640, 480)),
		"a card without one": specimen.Draw(specimen.Card{Layout: specimen.Long, Person: specimen.NewPerson(8), Uncoded: true}),
	} {
		if codes := find(t, img); len(codes) != 0 {
			t.Errorf("%s: %+v", name, codes)
		}
	}
	if codes := visible(find(t, noise)); len(codes) != 0 {
		t.Errorf("noise looks like %+v", codes)
	}
}

// tiled repeats a finder pattern with a margin of a module.
func tiled(w, h, module int) *image.Gray {
	out := image.NewGray(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			dx, dy := x/module%9-4, y/module%9-4
			if ring := max(dx, -dx, dy, -dy); ring == 2 || ring == 4 {
				out.Pix[y*w+x] = 255
			}
		}
	}
	return out
}

// Without a limit, each of these takes minutes to hours.
func TestAnImageFullOfFinderPatternsIsBusy(t *testing.T) {
	t.Parallel()
	for _, size := range []image.Point{{1200, 1200}, {1_000_000 / 54, 54}, {54, 1_000_000 / 54}} {
		for _, module := range []int{1, 2} {
			if _, busy := qr.Find(tiled(size.X, size.Y, module)); !busy {
				t.Errorf("%v of modules of %d pixels: not busy", size, module)
			}
		}
	}
	if _, busy := qr.Find(tiled(400, 400, 8)); busy {
		t.Error("a few patterns are too many")
	}
}

func TestFindTakesEveryKindOfImage(t *testing.T) {
	t.Parallel()
	img, area := strip(12)
	inner := area.Inset(-40)
	as := func(dst draw.Image) image.Image {
		draw.Draw(dst, dst.Bounds(), img, image.Point{}, draw.Src)
		return dst
	}
	palette := color.Palette{color.Black, color.White, color.Gray{128}}
	for name, picture := range map[string]image.Image{
		"Gray":          as(image.NewGray(img.Rect)),
		"Gray16":        as(image.NewGray16(img.Rect)),
		"NRGBA":         as(image.NewNRGBA(img.Rect)),
		"NRGBA64":       as(image.NewNRGBA64(img.Rect)),
		"RGBA64":        as(image.NewRGBA64(img.Rect)),
		"CMYK":          as(image.NewCMYK(img.Rect)),
		"Paletted":      as(image.NewPaletted(img.Rect, palette)),
		"YCbCr":         distort.Recompress(img, 90),
		"part of RGBA":  img.SubImage(inner),
		"part of Gray":  distort.Grey(img).SubImage(inner),
		"part of NRGBA": as(image.NewNRGBA(img.Rect)).(*image.NRGBA).SubImage(inner),
		"part of YCbCr": distort.Recompress(img, 90).(*image.YCbCr).SubImage(inner),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if codes := visible(find(t, picture)); len(codes) != 1 {
				t.Errorf("%d codes, want 1", len(codes))
			}
		})
	}
}

func FuzzFind(f *testing.F) {
	img, area := strip(8)
	small := distort.Grey(distort.Scale(img.SubImage(area.Inset(-10)), 0.4))
	f.Add(small.Pix, small.Stride)
	f.Fuzz(func(_ *testing.T, pix []byte, w int) {
		if w < 1 || w > len(pix) || len(pix) > 1<<15 { // large ones take too long to try many
			return
		}
		h := len(pix) / w
		qr.Find(&image.Gray{Pix: pix[:w*h], Stride: w, Rect: image.Rect(0, 0, w, h)})
	})
}
