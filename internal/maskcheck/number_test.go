package maskcheck

import (
	"image"
	"image/color"
	"math/rand/v2"
	"strconv"
	"testing"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/f64"

	"github.com/kycq/kycq/internal/dev/specimen/distort"
)

// Spaces are as wide as a quarter of the digits' height, blurred digits touch, and gaps beside a 1 are wide.
func TestNumbersInManyPrintsAreSeen(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	for name, ttf := range map[string][]byte{"regular": goregular.TTF, "bold": gobold.TTF, "mono": gomono.TTF} {
		f, err := opentype.Parse(ttf)
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []float64{13, 16, 20, 40} {
			face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: size, DPI: 72})
			if err != nil {
				t.Fatal(err)
			}
			for ones := range 4 {
				text := ""
				for i := range 12 {
					if i == 4 || i == 8 {
						text += " "
					}
					if digit := rng.IntN(10); rng.IntN(4) < ones {
						text += "1"
					} else {
						text += strconv.Itoa(digit)
					}
				}
				img := image.NewGray(image.Rect(0, 0, int(size*12)+40, int(size*3)))
				draw.Draw(img, img.Rect, image.NewUniform(color.Gray{Y: 245}), image.Point{}, draw.Src)
				d := font.Drawer{Dst: img, Src: image.NewUniform(color.Gray{Y: 40}), Face: face}
				d.Dot.X, d.Dot.Y = 20<<6, 2*face.Metrics().Ascent
				d.DrawString(text)
				tilted := image.NewGray(img.Rect)
				draw.BiLinear.Transform(tilted, f64.Aff3{1, -0.03, 3, 0.03, 1, -3}, img, img.Rect, draw.Src, nil)
				for how, picture := range map[string]image.Image{
					"clear": img, "blurred": distort.Recompress(distort.Blur(img, size/20), 50), "tilted": distort.Blur(tilted, size/25),
				} {
					if !reduce(distort.Grey(picture), img.Rect.Dx(), img.Rect.Dy()).writing().showsNumber(0) {
						t.Errorf("%s, %s, size %v: %s is not seen", name, how, size, text)
					}
				}
			}
		}
	}
}
