package specimen

import (
	"bytes"
	"image"
	"image/color"
	"math"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode/decoder"

	"github.com/kycq/kycq/internal/dev/specimen/distort"
	"github.com/kycq/kycq/internal/qr"
)

func TestNumbersAreVerhoeffValidAndImpossible(t *testing.T) {
	t.Parallel()
	// Widely published examples of the check digit.
	for digits, want := range map[string]string{"236": "2363", "12345": "123451", "142857": "1428570", "123456789012": "1234567890120"} {
		if got := withCheckDigit(digits); got != want {
			t.Errorf("check digit of %s: %s, want %s", digits, got, want)
		}
	}
	for seed := range uint64(500) {
		n := NewPerson(seed).Number
		if len(n) != 12 || !validNumber(n) || n[0] > '1' {
			t.Errorf("seed %d: %s is not a valid number that begins with 0 or 1", seed, n)
		}
		for i := range n {
			changed := []byte(n)
			changed[i] = '0' + (changed[i]-'0'+1)%10
			if validNumber(string(changed)) {
				t.Errorf("%s passes, though digit %d of %s is another", changed, i+1, n)
			}
		}
	}
}

func TestTheSameSeedDrawsTheSameCard(t *testing.T) {
	t.Parallel()
	for _, layout := range Layouts() {
		draw := func() []byte { return Draw(Card{Layout: layout, Person: NewPerson(5), Scale: 0.5}).Pix }
		if !bytes.Equal(draw(), draw()) {
			t.Errorf("%s differs from itself", layout)
		}
	}
}

func TestCardsCarryReadableCodesThatSaySpecimen(t *testing.T) {
	t.Parallel()
	for _, layout := range Layouts() {
		img := Draw(Card{Layout: layout, Person: NewPerson(11)})
		if codes, _ := qr.Find(img); len(codes) != len(plans[layout].codes) {
			t.Errorf("%s: %d codes, want %d", layout, len(codes), len(plans[layout].codes))
		}
		for _, area := range CodeAreas(layout, 1) {
			if text := read(img, area); !strings.HasPrefix(text, "<SPECIMEN") {
				t.Errorf("%s: no code of version 12 to 25 at %v says SPECIMEN, but %q", layout, area, text)
			}
		}
	}
}

// read decodes the code that fills an area, if it is of version 12 to 25.
func read(img *image.RGBA, area image.Rectangle) string {
	for version := 12; version <= 25; version++ {
		n := 17 + 4*version
		matrix, _ := gozxing.NewSquareBitMatrix(n)
		for y := range n {
			for x := range n {
				if img.RGBAAt(area.Min.X+(2*x+1)*area.Dx()/(2*n), area.Min.Y+(2*y+1)*area.Dy()/(2*n)).R < 128 {
					matrix.Set(x, y)
				}
			}
		}
		if result, err := decoder.NewDecoder().Decode(matrix, nil); err == nil {
			return result.GetText()
		}
	}
	return ""
}

// A path turns a place on the drawn card into a place on the picture that was made of it.
type path func(x, y float64) (float64, float64)

// turnedBy is distort.Turn's path.
func turnedBy(img image.Image, degrees float64) (image.Image, path) {
	out := distort.Turn(img, degrees)
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	w, h := float64(img.Bounds().Dx())/2, float64(img.Bounds().Dy())/2
	midX, midY := float64(out.Rect.Dx())/2, float64(out.Rect.Dy())/2
	return out, func(x, y float64) (float64, float64) {
		return midX + cos*(x-w) - sin*(y-h), midY + sin*(x-w) + cos*(y-h)
	}
}

func straight(x, y float64) (float64, float64) { return x, y }

func TestMaskCoversCodesAndFirstEightDigits(t *testing.T) {
	t.Parallel()
	const scale = 0.7
	for name, make := range map[string]func(img image.Image) (image.Image, path){
		"as drawn":    func(img image.Image) (image.Image, path) { return img, straight },
		"photocopied": func(img image.Image) (image.Image, path) { return distort.Grey(img), straight },
		"messenger":   func(img image.Image) (image.Image, path) { return distort.Recompress(img, 35), straight },
		"soft":        func(img image.Image) (image.Image, path) { return distort.Blur(img, 0.7), straight },
		"tilted":      func(img image.Image) (image.Image, path) { return turnedBy(img, 6.5) },
		"on a desk":   func(img image.Image) (image.Image, path) { return turnedBy(img, -33) },
		"sideways":    func(img image.Image) (image.Image, path) { return turnedBy(img, 90) },
		"upside down": func(img image.Image) (image.Image, path) { return turnedBy(img, 180) },
		"rescaled": func(img image.Image) (image.Image, path) {
			return distort.Scale(img, 1.7), func(x, y float64) (float64, float64) { return 1.7 * x, 1.7 * y }
		},
		"rescaled, tilted, soft and recompressed": func(img image.Image) (image.Image, path) {
			out, where := turnedBy(distort.Scale(img, 1.3), 11)
			return distort.Recompress(distort.Blur(out, 0.9), 50), func(x, y float64) (float64, float64) { return where(1.3*x, 1.3*y) }
		},
	} {
		for _, layout := range Layouts() {
			t.Run(name+"/"+string(layout), func(t *testing.T) {
				t.Parallel()
				img, where := make(Draw(Card{Layout: layout, Person: NewPerson(21), Version: 12, Scale: scale}))
				masked, ok := Mask(img)
				if !ok {
					t.Fatal("not recognised")
				}
				if masked.Bounds().Size() != img.Bounds().Size() {
					t.Errorf("masked is %v, the image %v", masked.Bounds(), img.Bounds())
				}
				for _, area := range append(CodeAreas(layout, scale), DigitAreas(layout, scale)...) {
					if share := covered(masked, area, where); share < 1 {
						t.Errorf("%v is covered to %.1f %% only", area, 100*share)
					}
				}
				for _, b := range plans[layout].numbers {
					last := canvas{scale: scale}.pixels(box{b.x + b.w*10/14, b.y, b.w * 4 / 14, b.h})
					if share := covered(masked, last, where); share > 0 {
						t.Errorf("the last four digits at %v are covered to %.1f %%", last, 100*share)
					}
				}
				if codes, _ := qr.Find(masked); len(codes) != 0 {
					t.Errorf("after masking there is still %+v", codes)
				}
			})
		}
	}
}

// The areas above come from the layout; this looks at the ink itself.
func TestMaskLeavesNoInkOfTheFirstEightDigits(t *testing.T) {
	t.Parallel()
	for _, layout := range Layouts() {
		img := Draw(Card{Layout: layout, Person: NewPerson(3)})
		out, _ := Mask(img)
		masked, ok := out.(*image.RGBA)
		if !ok {
			t.Fatalf("%s: not recognised", layout)
		}
		for _, b := range plans[layout].numbers {
			letter := b.w / 14
			eight, four := box{b.x - letter, b.y - 4, 10.9 * letter, b.h + 8}, box{b.x + 9.9*letter, b.y - 4, 4.2 * letter, b.h + 8}
			if inked(img, eight) == 0 || inked(masked, eight) != 0 || inked(masked, four) != inked(img, four) {
				t.Errorf("%s: the number at %v is masked in part, or too far", layout, b)
			}
		}
	}
}

// inked counts the pixels of the digits' colour in a box.
func inked(img *image.RGBA, b box) int {
	n, area := 0, canvas{scale: 1}.pixels(b)
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			if img.RGBAAt(x, y) == ink {
				n++
			}
		}
	}
	return n
}

// covered is the share of an area's places that have the mask's colour.
func covered(img image.Image, area image.Rectangle, where path) float64 {
	hit, all := 0, 0
	for y := area.Min.Y + 1; y < area.Max.Y; y += 2 {
		for x := area.Min.X + 1; x < area.Max.X; x += 2 {
			px, py := where(float64(x), float64(y))
			all++
			if img.At(int(px), int(py)) == color.Color(blocked) {
				hit++
			}
		}
	}
	return float64(hit) / float64(all)
}

func TestMaskKnowsACardWithoutACode(t *testing.T) {
	t.Parallel()
	for _, layout := range Layouts() {
		for _, angle := range []float64{0, 90, 180, 270} {
			img, where := turnedBy(Draw(Card{Layout: layout, Person: NewPerson(2), Scale: 0.8, Uncoded: true}), angle)
			masked, ok := Mask(img)
			if !ok {
				t.Errorf("%s at %v° is not recognised", layout, angle)
				continue
			}
			for _, area := range DigitAreas(layout, 0.8) {
				if share := covered(masked, area, where); share < 1 {
					t.Errorf("%s at %v°: %v is covered to %.1f %% only", layout, angle, area, 100*share)
				}
			}
		}
	}
}

func TestMaskCoversTheCodeOfAnyOtherImage(t *testing.T) {
	t.Parallel()
	card := Draw(Card{Layout: PVC, Person: NewPerson(2), Version: 12})
	area := CodeAreas(PVC, 1)[0]
	masked, ok := Mask(card.SubImage(area.Inset(-24)))
	if !ok {
		t.Fatal("the code was not found")
	}
	if codes, _ := qr.Find(masked); len(codes) != 0 {
		t.Errorf("still there: %+v", codes)
	}
}

func TestMaskRefusesWhatHasNothingToMask(t *testing.T) {
	t.Parallel()
	card := Draw(Card{Layout: PVC, Person: NewPerson(2)})
	for name, img := range map[string]image.Image{
		"white":        image.NewRGBA(image.Rect(0, 0, 1012, 638)),
		"one pixel":    image.NewGray(image.Rect(0, 0, 1, 1)),
		"far too soft": distort.Blur(distort.Turn(distort.Scale(card, 0.3), 30), 12),
	} {
		if out, ok := Mask(img); ok || out != nil {
			t.Errorf("%s: masked", name)
		}
	}
}
