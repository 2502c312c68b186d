package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"path"
	"strings"

	"golang.org/x/image/draw"

	"github.com/kycq/kycq/internal/dev/specimen"
	"github.com/kycq/kycq/internal/dev/specimen/distort"
)

// cards draws the 24 images in the order of the manifest.
func cards() []file {
	scale := map[specimen.Layout]float64{specimen.PVC: 0.9, specimen.Short: 0.8, specimen.Long: 0.75}
	seed := uint64(0)
	card := func(layout specimen.Layout, version int) image.Image {
		seed++
		return specimen.Draw(specimen.Card{Layout: layout, Person: specimen.NewPerson(seed), Version: version, Scale: scale[layout]})
	}
	out := []file{
		picture("pvc-scan.png", card(specimen.PVC, 14)),
		picture("short-scan.png", card(specimen.Short, 17)),
		picture("long-scan.png", card(specimen.Long, 13)),
		jpeg("pvc-phone.jpg", card(specimen.PVC, 15), 82),
		jpeg("short-phone.jpg", card(specimen.Short, 20), 80),
		jpeg("long-phone.jpg", card(specimen.Long, 12), 72),
		jpeg("pvc-tilted.jpg", distort.Turn(card(specimen.PVC, 13), 7), 80),
		jpeg("short-tilted.jpg", distort.Turn(card(specimen.Short, 16), -5), 78),
		jpeg("long-tilted.jpg", distort.Turn(card(specimen.Long, 12), 3), 70),
		jpeg("pvc-sideways.jpg", distort.Turn(card(specimen.PVC, 16), 90), 82),
		jpeg("short-upside-down.jpg", distort.Turn(card(specimen.Short, 18), 180), 80),
		jpeg("pvc-soft.jpg", distort.Blur(card(specimen.PVC, 12), 1), 80),
		jpeg("short-soft.jpg", distort.Blur(card(specimen.Short, 14), 1.1), 80),
		jpeg("pvc-photocopy.jpg", distort.Grey(card(specimen.PVC, 15)), 75),
		picture("short-photocopy.png", distort.Grey(card(specimen.Short, 15))),
		jpeg("long-photocopy.jpg", distort.Grey(card(specimen.Long, 12)), 68),
		jpeg("pvc-messenger.jpg", card(specimen.PVC, 14), 38),
		jpeg("short-messenger.jpg", card(specimen.Short, 15), 35),
		jpeg("pvc-dense-code.jpg", card(specimen.PVC, 25), 88),
		picture("short-dense-code.png", card(specimen.Short, 24)),
		jpeg("short-on-desk.jpg", distort.Turn(card(specimen.Short, 13), 24), 76),
		jpeg("pvc-old-style.jpg", specimen.Draw(specimen.Card{Layout: specimen.PVC, Person: specimen.NewPerson(90), Scale: 0.9, Uncoded: true}), 80),
		// Out of focus, dark and cropped: decodable, but not recognizable.
		jpeg("unreadable.jpg", unreadable(card(specimen.PVC, 14)), 60),
		{"cards/e-aadhaar.pdf", pdf("SPECIMEN - a PDF is not accepted")},
	}
	return out
}

func jpeg(name string, img image.Image, quality int) file {
	return file{"cards/" + name, distort.JPEG(img, quality)}
}

func picture(name string, img image.Image) file {
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&b, paletted(img)); err != nil {
		panic(fmt.Sprintf("gen: encode %s: %v", name, err)) // writing to a buffer does not fail
	}
	return file{"cards/" + name, b.Bytes()}
}

// paletted reduces the file size of colour images, as scanners do.
func paletted(img image.Image) image.Image {
	if _, grey := img.(*image.Gray); grey {
		return img
	}
	var colours color.Palette
	for r := range 6 {
		for g := range 7 {
			for b := range 6 {
				colours = append(colours, color.RGBA{uint8(r * 51), uint8(g * 255 / 6), uint8(b * 51), 255})
			}
		}
	}
	out := image.NewPaletted(img.Bounds(), colours)
	draw.Draw(out, out.Rect, img, img.Bounds().Min, draw.Src)
	return out
}

func unreadable(img image.Image) image.Image {
	out := distort.Scale(distort.Blur(distort.Scale(distort.Turn(img, 37), 0.5), 16), 1)
	half := image.Rect(0, 0, out.Rect.Dx()/2, out.Rect.Dy())
	dark := image.NewUniform(color.RGBA{0, 0, 0, 170})
	draw.Draw(out, out.Rect, dark, image.Point{}, draw.Over)
	return out.SubImage(half)
}

// pdf is a minimal document with a line of text.
func pdf(text string) []byte {
	content := fmt.Sprintf("BT /F1 18 Tf 60 700 Td (%s) Tj ET", text)
	objects := []string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(content), content),
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
	}
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n")
	var offsets []int
	for i, object := range objects {
		offsets = append(offsets, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, object)
	}
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, offset := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", offset)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, start)
	return b.Bytes()
}

// aadhaarCSV lists the cards; an image's path is relative to the manifest.
func aadhaarCSV(images []file) []byte {
	var b strings.Builder
	b.WriteString("verification_id,image\n")
	for i, image := range images {
		stem := strings.TrimSuffix(path.Base(image.name), path.Ext(image.name))
		fmt.Fprintf(&b, "specimen-%02d-%s,%s\n", i+1, stem, image.name)
	}
	return []byte(b.String())
}
