package e2e

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/kycq/kycq/internal/dev/specimen"
	"github.com/kycq/kycq/internal/dev/specimen/distort"
	"github.com/kycq/kycq/storage"
)

// A maskCase is a source and what the vendor answers.
type maskCase struct {
	source, answer []byte
	review         string // of a stored image
	unsafe         string // why it is quarantined
}

// maskCases are images that look masked, or hold more than they show.
func maskCases() map[string]maskCase {
	card := specimen.Card{Layout: specimen.PVC, Person: specimen.NewPerson(7), Version: 12, Scale: 0.6}
	plain := distort.JPEG(specimen.Draw(card), 88)
	covered, _ := specimen.Mask(specimen.Draw(card))
	masked := distort.JPEG(covered, 85)
	thumbnail := distort.JPEG(distort.Scale(specimen.Draw(card), 0.3), 85)
	exif := append([]byte("Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00"), thumbnail...)
	size := len(exif) + 2
	withExif := slices.Concat([]byte{0xff, 0xd8, 0xff, 0xe1, byte(size >> 8), byte(size)}, exif, masked[2:])

	uncoded := card
	uncoded.Uncoded = true
	old := distort.JPEG(specimen.Draw(uncoded), 88)
	uncoded.Person.Number = "XXXXXXXX" + uncoded.Person.Number[8:]
	crossed := distort.JPEG(specimen.Draw(uncoded), 88)

	dense := card
	dense.Version, dense.Scale = 20, 1
	digits := specimen.DigitAreas(specimen.PVC, 1)[0].Inset(-6)
	open := specimen.Draw(dense)
	distort.Cover(open, digits, color.Black)
	faint := specimen.Draw(dense)
	distort.Cover(faint, digits, color.Black)
	code := specimen.CodeAreas(specimen.PVC, 1)[0].Inset(-10)
	for y := code.Min.Y; y < code.Max.Y; y++ {
		for x := code.Min.X; x < code.Max.X; x++ {
			c := faint.RGBAAt(x, y)
			faint.SetRGBA(x, y, color.RGBA{c.R * 3 / 20, c.G * 3 / 20, c.B * 3 / 20, 255})
		}
	}
	var faintPNG bytes.Buffer
	if err := png.Encode(&faintPNG, faint); err != nil {
		panic(err)
	}
	return map[string]maskCase{
		"EXIF-THUMBNAIL":     {source: plain, answer: withExif},
		"SECOND-IMAGE":       {source: plain, answer: append(bytes.Clone(masked), plain...)},
		"ENCODED-ANEW":       {source: old, answer: distort.JPEG(specimenOf(old), 70), unsafe: "nothing_masked"},
		"TILTED-DENSE-CODE":  {source: distort.JPEG(tilted(specimen.Draw(dense)), 88), answer: distort.JPEG(tilted(open), 80), unsafe: "visible_qr"},
		"FAINT-CODE":         {source: distort.JPEG(specimen.Draw(dense), 88), answer: faintPNG.Bytes(), unsafe: "visible_qr"},
		"MASKED-BEFORE":      {source: crossed, answer: distort.JPEG(specimenOf(crossed), 80), review: "already_masked"},
		"MASKED-BEFORE-SAME": {source: crossed, answer: crossed, review: "already_masked"},
	}
}

// specimenOf decodes a card.
func specimenOf(body []byte) image.Image {
	img, _, err := image.Decode(bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	return img
}

// tilted is a card that leans back by 16°, seen from 2.5 times its width.
func tilted(img *image.RGBA) image.Image {
	w, h := float64(img.Rect.Dx()), float64(img.Rect.Dy())
	out := image.NewRGBA(img.Rect)
	sin, cos := math.Sincos(16 * math.Pi / 180)
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			u, v := float64(x)-w/2, float64(y)-h/2
			p := v * 2.5 * w / (2.5*w*cos - v*sin)
			q := u * (2.5*w + p*sin) / (2.5 * w)
			out.Set(x, y, img.At(int(math.Round(q+w/2)), int(math.Round(p+h/2))))
		}
	}
	return out
}

// TestOnlyMaskedPixelsReachTheMaskedBucket sends images that look masked through a worker.
func TestOnlyMaskedPixelsReachTheMaskedBucket(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	cases := maskCases()
	s.vendor.images = map[string][]byte{}
	for id, test := range cases {
		s.vendor.images[id] = test.answer
	}
	for id, test := range cases {
		path := filepath.Join(s.dir, id)
		if err := os.WriteFile(path, test.source, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, stderr, code := s.run(nil, "enqueue", "aadhaar", "--id", id, "--image", path); code != 0 {
			t.Fatalf("enqueue: exit code %d\n%s%s", code, out, stderr)
		}
	}
	w := s.start("worker")
	records := map[string]*storage.Record{}
	for id := range cases {
		records[id] = s.wait("aadhaar", id)
	}
	w.terminate(t)
	objects, err := s.s3.Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string][]byte{}
	for _, o := range objects {
		if o.Bucket == s.s3.Config().MaskedBucket {
			stored[o.Key] = o.Body
		}
	}
	for id, test := range cases {
		rec := records[id]
		if test.unsafe != "" {
			if rec.State != storage.StateFailed || rec.Code != "unsafe_mask" || rec.Review != test.unsafe || rec.MaskedImage != nil {
				t.Errorf("%s: %s %s, review %q; want %s", id, rec.State, rec.Code, rec.Review, test.unsafe)
			}
			continue
		}
		if rec.State != storage.StateValid || rec.Review != test.review || rec.MaskedImage == nil {
			t.Errorf("%s: %s %s, review %q; want it stored with %q", id, rec.State, rec.Code, rec.Review, test.review)
			continue
		}
		body := stored[rec.MaskedImage.Key]
		if bytes.Count(body, []byte{0xff, 0xd8, 0xff}) != 1 || bytes.Contains(body, []byte("Exif")) || !bytes.HasSuffix(body, []byte{0xff, 0xd9}) {
			t.Errorf("%s: the stored file has more than one image, or metadata", id)
		}
		delete(stored, rec.MaskedImage.Key)
	}
	if n := s.vendor.total(); n != len(cases) || len(stored) > 0 {
		t.Errorf("%d calls for %d jobs; %d further images in the masked bucket", n, len(cases), len(stored))
	}
}
