package distort_test

import (
	"image"
	"image/color"
	"testing"

	"github.com/kycq/kycq/internal/dev/specimen/distort"
)

// spot is a white sheet with a dark square; its corner is not at the origin.
func spot(at image.Rectangle) *image.RGBA {
	img := image.NewRGBA(image.Rect(10, 20, 110, 80))
	distort.Cover(img, img.Rect, color.White)
	distort.Cover(img, at, color.Black)
	return img
}

func TestTurnIsClockwiseAndKeepsTheWholeImage(t *testing.T) {
	t.Parallel()
	out := distort.Turn(spot(image.Rect(10, 20, 20, 30)), 90) // the dark square is top left, so it goes top right
	if out.Rect != image.Rect(0, 0, 60, 100) {
		t.Fatalf("turned to %v, want 60×100", out.Rect)
	}
	if out.RGBAAt(55, 5).R > 40 || out.RGBAAt(5, 5).R < 215 || out.RGBAAt(55, 95).R < 215 {
		t.Error("the top left corner is not at the top right")
	}
	if out := distort.Turn(spot(image.Rectangle{}), 45); out.RGBAAt(0, 0) != distort.Desk {
		t.Error("there is no desk around a card that lies askew")
	}
}

func TestBlurKeepsEvenGroundAndSoftensEdges(t *testing.T) {
	t.Parallel()
	img := spot(image.Rect(60, 20, 110, 80))
	for name, out := range map[string]image.Image{"colour": distort.Blur(img, 3), "grey": distort.Blur(distort.Grey(img), 3)} {
		at := func(x int) uint32 {
			r, _, _, _ := out.At(x, 30).RGBA()
			return r >> 8
		}
		if at(0) != 255 || at(99) != 0 || at(49) < 110 || at(49) > 170 {
			t.Errorf("%s: %d, %d, %d; want 255, about 140, 0", name, at(0), at(49), at(99))
		}
	}
	if out := distort.Blur(img, 0); out.At(40, 30) != color.Color(color.RGBA{255, 255, 255, 255}) || out.At(90, 30) != color.Color(color.RGBA{0, 0, 0, 255}) {
		t.Error("without a radius nothing changes")
	}
}

func TestScaleChangesBothSides(t *testing.T) {
	t.Parallel()
	if got := distort.Scale(spot(image.Rectangle{}), 2.5).Rect; got != image.Rect(0, 0, 250, 150) {
		t.Errorf("100×60 by 2.5 is %v", got)
	}
}
