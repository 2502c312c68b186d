package maskcheck

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/kycq/kycq/internal/dev/specimen"
	"github.com/kycq/kycq/internal/dev/specimen/distort"
)

// A pair is a source and its proper mask.
type pair struct{ plain, masked *image.RGBA }

// card is drawn once for all tests; a fuzzing process does not need it.
var card = sync.OnceValue(func() (c pair) {
	c.plain = specimen.Draw(specimen.Card{Layout: specimen.PVC, Person: specimen.NewPerson(7), Version: 16})
	masked, _ := specimen.Mask(c.plain)
	c.masked, _ = masked.(*image.RGBA)
	return c
})

func asPNG(t *testing.T, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asGIF(t *testing.T, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := gif.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// source describes the unmasked card.
func source() SourceInfo {
	sum := sha256.Sum256(distort.JPEG(card().plain, 90))
	return SourceInfo{SHA256: hex.EncodeToString(sum[:]), Width: 1012, Height: 638}
}

func TestCheckPassesMaskedCards(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body []byte
		want Report
	}{
		"a JPEG":               {distort.JPEG(card().masked, 80), Report{Width: 1012, Height: 638, ContentType: "image/jpeg", Ext: "jpg"}},
		"a PNG":                {asPNG(t, card().masked), Report{Width: 1012, Height: 638, ContentType: "image/png", Ext: "png"}},
		"a photocopy":          {asPNG(t, distort.Grey(card().masked)), Report{Width: 1012, Height: 638, ContentType: "image/png", Ext: "png"}},
		"turned on its side":   {distort.JPEG(distort.Turn(card().masked, 90), 80), Report{Width: 638, Height: 1012, ContentType: "image/jpeg", Ext: "jpg"}},
		"scaled to a half":     {distort.JPEG(distort.Scale(card().masked, 0.5), 80), Report{Width: 506, Height: 319, ContentType: "image/jpeg", Ext: "jpg"}},
		"scaled to the double": {distort.JPEG(distort.Scale(card().masked, 2), 80), Report{Width: 2024, Height: 1276, ContentType: "image/jpeg", Ext: "jpg"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Check(t.Context(), test.body, source())
			if err != nil {
				t.Fatal(err)
			}
			assertPixelsOnly(t, got)
			got.File = nil
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("Check = %+v; want %+v", got, test.want)
			}
		})
	}
}

func TestCheckRefusesWhatMustNotBeStoredAsMasked(t *testing.T) {
	t.Parallel()
	good := distort.JPEG(card().masked, 80)
	sum := sha256.Sum256(good)
	code := specimen.CodeAreas(specimen.PVC, 1)[0]
	corner := image.Rect(code.Min.X, code.Min.Y, code.Min.X+40, code.Min.Y+40)
	sameBytes := SourceInfo{SHA256: strings.ToUpper(hex.EncodeToString(sum[:])), Width: 1012, Height: 638}
	for name, test := range map[string]struct {
		body   []byte
		source SourceInfo
		want   Code
	}{
		"the source itself":              {good, sameBytes, SameBytes},
		"the source, recompressed":       {distort.JPEG(card().plain, 70), source(), VisibleQR},
		"the source, turned":             {distort.JPEG(distort.Turn(card().plain, 180), 70), source(), VisibleQR},
		"a code that is nearly clear":    {asPNG(t, hidden(card().plain, 200)), source(), VisibleQR},
		"a code printed inverted":        {distort.JPEG(inverted(card().plain), 90), source(), VisibleQR},
		"a code covered but for corners": {distort.JPEG(covered(code.Inset(40)), 85), source(), VisibleQR},
		"a code without one corner":      {distort.JPEG(covered(corner), 85), source(), VisibleQR},
		"another picture's shape":        {distort.JPEG(distort.Turn(card().masked, 45), 80), source(), Dimensions},
		"a crop":                         {distort.JPEG(card().masked.SubImage(image.Rect(0, 0, 900, 638)), 80), source(), Dimensions},
		"a thumbnail":                    {distort.JPEG(distort.Scale(card().masked, 0.2), 80), source(), Dimensions},
		"nothing":                        {nil, source(), NotAnImage},
		"a GIF":                          {asGIF(t, card().masked), source(), NotAnImage},
		"a web page":                     {[]byte("<html><body>Bad Gateway</body></html>"), source(), NotAnImage},
		"a JPEG's first bytes":           {good[:20], source(), Undecodable},
		"a JPEG cut short":               {good[:len(good)/2], source(), Undecodable},
		"a PNG with a broken chunk":      {flipped(asPNG(t, card().masked)), source(), Undecodable},
		"21 MB":                          {append(good[:len(good):len(good)], make([]byte, 21<<20)...), source(), TooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Check(t.Context(), test.body, test.source)
			var got *UnsafeError
			if !errors.As(err, &got) || got.Code != test.want {
				t.Fatalf("Check: %v; want the code %s", err, test.want)
			}
			if text := err.Error(); strings.Contains(text, "SPECIMEN") || !strings.Contains(text, string(test.want)) {
				t.Errorf("error text %q must name the code and nothing of the content", text)
			}
		})
	}
}

// hidden makes an image transparent to a degree; its colours stay in the file.
func hidden(img *image.RGBA, alpha uint8) image.Image {
	out := image.NewNRGBA(img.Rect)
	draw.Draw(out, out.Rect, img, image.Point{}, draw.Src)
	for i := 3; i < len(out.Pix); i += 4 {
		out.Pix[i] = alpha
	}
	return out
}

func inverted(img *image.RGBA) image.Image {
	out := image.NewRGBA(img.Rect)
	for i, v := range img.Pix {
		out.Pix[i] = 255 - v
		if i%4 == 3 {
			out.Pix[i] = 255
		}
	}
	return out
}

func flipped(data []byte) []byte {
	data[len(data)/2] ^= 0x55
	return data
}

// covered is the plain card with parts of its code painted over.
func covered(parts ...image.Rectangle) *image.RGBA {
	out := image.NewRGBA(card().plain.Rect)
	draw.Draw(out, out.Rect, card().plain, image.Point{}, draw.Src)
	for _, part := range parts {
		distort.Cover(out, part, color.White)
	}
	return out
}

func TestCheckAsksForAReview(t *testing.T) {
	t.Parallel()
	code := specimen.CodeAreas(specimen.PVC, 1)[0]
	single := covered(image.Rect(code.Min.X, code.Min.Y+40, code.Max.X, code.Max.Y), image.Rect(code.Min.X+40, code.Min.Y, code.Max.X, code.Max.Y))
	jpg := distort.JPEG(card().masked, 80)
	for name, test := range map[string]struct {
		body   []byte
		source SourceInfo
		want   string
	}{
		"a finder pattern shows":          {distort.JPEG(single, 85), source(), ReviewFinderPatterns},
		"the source's shape is not known": {jpg, SourceInfo{SHA256: source().SHA256}, ReviewSourceUnknown},
		"the source's hash is not known":  {jpg, SourceInfo{Width: 1012, Height: 638}, ReviewSourceUnknown},
		"two reasons":                     {distort.JPEG(single, 85), SourceInfo{}, ReviewFinderPatterns + "," + ReviewSourceUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Check(t.Context(), test.body, test.source)
			if err != nil || got.ReviewReason != test.want {
				t.Errorf("Check = %+v, %v; want the review %q", got, err, test.want)
			}
		})
	}
}

func TestCheckSurvivesAnyBytes(t *testing.T) {
	t.Parallel()
	// A decoder that panics is an answer. The bytes here are a good file's with a stretch of noise at every place.
	for _, body := range [][]byte{distort.JPEG(distort.Scale(card().masked, 0.3), 60), asPNG(t, distort.Scale(card().masked, 0.2))} {
		for at := 2; at < len(body); at += len(body)/40 + 1 {
			broken := bytes.Clone(body)
			for i := at; i < min(at+9, len(broken)); i++ {
				broken[i] ^= byte(37*i + at)
			}
			_, err := Check(t.Context(), broken, SourceInfo{})
			var unsafe *UnsafeError
			if err != nil && !errors.As(err, &unsafe) {
				t.Fatalf("noise at %d: %v", at, err)
			}
		}
	}
}

func FuzzCheck(f *testing.F) {
	small := specimen.Draw(specimen.Card{Layout: specimen.PVC, Person: specimen.NewPerson(7), Scale: 0.1, Uncoded: true})
	f.Add(distort.JPEG(small, 50))
	f.Add(jpegWith(distort.JPEG(small, 50), profileOf("RGB ", p3, parametricSRGB())))
	f.Add(cmyk(0, 255, 255, 0))
	var b bytes.Buffer
	_ = png.Encode(&b, small)
	f.Add(b.Bytes())
	b.Reset()
	_ = jpeg.Encode(&b, distort.Grey(small), nil)
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, body []byte) {
		_, err := Check(t.Context(), body, SourceInfo{})
		var unsafe *UnsafeError
		if err != nil && !errors.As(err, &unsafe) {
			t.Fatal(err)
		}
	})
}
