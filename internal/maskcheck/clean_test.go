package maskcheck

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/dev/specimen/distort"
	"github.com/kycq/kycq/internal/qr"
)

// assertPixelsOnly parses a file that is to be stored, by the formats' specifications and not with the package's own parsers.
func assertPixelsOnly(t *testing.T, r Report) {
	t.Helper()
	var extra []string
	if r.Ext == "jpg" {
		extra = extraJPEG(r.File)
	} else {
		extra = extraPNG(t, r.File)
	}
	if len(extra) > 0 {
		t.Errorf("the %s to be stored has more than pixels: %q", r.Ext, extra)
	}
	if img, _, err := image.Decode(bytes.NewReader(r.File)); err != nil || img.Bounds().Size() != image.Pt(r.Width, r.Height) {
		t.Errorf("the file to be stored cannot be decoded to %d×%d: %v", r.Width, r.Height, err)
	}
}

// extraJPEG lists everything between SOI and EOI but one frame, one scan, their tables and an Exif orientation.
func extraJPEG(body []byte) (extra []string) {
	seen := map[byte]int{}
	at := 2
	for at+4 <= len(body) && body[at] == 0xff && body[at+1] != 0xda {
		marker, end := body[at+1], at+2+int(binary.BigEndian.Uint16(body[at+2:]))
		seen[marker]++
		switch {
		case marker == 0xe1 && end-at == 36 && string(body[at+4:at+10]) == "Exif\x00\x00" && seen[marker] == 1:
		case marker == 0xdb, marker == 0xc4, marker == 0xdd && seen[marker] == 1, marker <= 0xc1 && marker >= 0xc0 && seen[0xc0]+seen[0xc1] == 1:
		default:
			extra = append(extra, fmt.Sprintf("segment %x of %d bytes", marker, end-at))
		}
		at = end
	}
	if seen[0xdb] > 3 || seen[0xc4] > 6 {
		extra = append(extra, "tables")
	}
	data := body[at+2+int(binary.BigEndian.Uint16(body[at+2:])):]
	for i := 0; i+1 < len(data); i++ {
		if next := data[i+1]; data[i] == 0xff && next != 0 && (next < 0xd0 || next > 0xd7) {
			if next != 0xd9 || i+2 != len(data) {
				extra = append(extra, fmt.Sprintf("%d bytes after the image data", len(data)-i))
			}
			break
		}
	}
	return extra
}

// extraPNG lists all but IHDR, an Exif orientation, IDAT with exactly the rows, and IEND.
func extraPNG(t *testing.T, body []byte) (extra []string) {
	t.Helper()
	var data []byte
	at, last := 8, ""
	for at+12 <= len(body) {
		size, kind := int(binary.BigEndian.Uint32(body[at:])), string(body[at+4:at+8])
		switch {
		case kind == "IHDR", kind == "IEND" && size == 0, kind == "eXIf" && size == 26:
		case kind == "IDAT":
			data = append(data, body[at+8:at+8+size]...)
		default:
			extra = append(extra, kind)
		}
		at, last = at+12+size, kind
	}
	if at != len(body) || last != "IEND" {
		extra = append(extra, "bytes after the end")
	}
	if depth, colours := body[24], body[25]; depth != 8 || colours != 0 && colours != 2 {
		extra = append(extra, fmt.Sprintf("depth %d, colour type %d", depth, colours))
	}
	stream := bytes.NewReader(data)
	rows, err := zlib.NewReader(stream)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, rows); err != nil || stream.Len() > 0 {
		extra = append(extra, "image data after the rows")
	}
	return extra
}

// inserted puts bytes behind a JPEG's first marker.
func inserted(jpg []byte, segments ...[]byte) []byte {
	return bytes.Join([][]byte{jpg[:2], bytes.Join(segments, nil), jpg[2:]}, nil)
}

func segment(marker byte, content ...[]byte) []byte {
	return appendSegment(nil, marker, bytes.Join(content, nil))
}

// withChunks puts chunks behind a PNG's header.
func withChunks(body []byte, chunks ...[]byte) []byte {
	return bytes.Join([][]byte{body[:endOfIHDR], bytes.Join(chunks, nil), body[endOfIHDR:]}, nil)
}

func chunk(kind string, content ...[]byte) []byte {
	return appendChunk(nil, kind, bytes.Join(content, nil))
}

// exifOf is Exif data with an orientation and a thumbnail, in both byte orders.
func exifOf(order binary.AppendByteOrder, orientation uint16, thumbnail []byte) []byte {
	out := []byte("II*\x00")
	if order.String() == "BigEndian" {
		out = []byte("MM\x00*")
	}
	out = order.AppendUint32(out, 8)
	out = order.AppendUint16(out, 2)
	out = append(order.AppendUint32(order.AppendUint16(order.AppendUint16(out, 0x010f), 2), 4), "Acme"...)
	out = order.AppendUint16(order.AppendUint32(order.AppendUint16(order.AppendUint16(out, 0x0112), 3), 1), orientation)
	return append(append(out, 0, 0, 0, 0, 0, 0), thumbnail...)
}

// SPECIMEN is in every part that must not be stored.
func TestNothingButCheckedPixelsIsStored(t *testing.T) {
	t.Parallel()
	masked, plain := distort.Scale(card().masked, 0.5), distort.Scale(card().plain, 0.5)
	jpg, secret := distort.JPEG(masked, 85), append(distort.JPEG(plain, 85), "SPECIMEN"...)
	small := append(distort.JPEG(distort.Scale(plain, 0.3), 70), "SPECIMEN"...)
	whole := asPNG(t, masked)
	xmp := segment(0xe1, []byte("http://ns.adobe.com/xap/1.0/\x00<x>SPECIMEN</x>"))
	for name, body := range map[string][]byte{
		"a thumbnail in Exif":          inserted(jpg, segment(0xe1, []byte("Exif\x00\x00"), exifOf(binary.BigEndian, 1, small))),
		"XMP":                          inserted(jpg, xmp),
		"every application segment":    inserted(jpg, allAPPs()),
		"a comment":                    inserted(jpg, segment(0xfe, []byte("SPECIMEN"))),
		"a second image (MPO)":         append(bytes.Clone(jpg), secret...),
		"a PNG after the end":          append(bytes.Clone(jpg), whole...),
		"text after the end":           append(bytes.Clone(jpg), "SPECIMEN"...),
		"the old file's tail":          append(bytes.Clone(jpg), secret[len(secret)/2:]...),
		"bytes after the last block":   tailed(jpg),
		"rows below the frame":         cutHeight(jpg, 300),
		"unused tables":                inserted(jpg, segment(0xdb, []byte{3}, bytes.Repeat([]byte("SPECIMEN"), 8))),
		"padding between segments":     inserted(jpg, []byte{0xff, 0xff, 0xff}),
		"a Windows JPEG (JFIF)":        inserted(jpg, segment(0xe0, []byte("JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"))),
		"grey":                         inserted(distort.JPEG(distort.Grey(masked), 85), xmp),
		"progressive":                  inserted(testdata(t, "progressive.jpg"), xmp),
		"full colours, progressive":    append(testdata(t, "progressive444.jpg"), "SPECIMEN"...),
		"full colours":                 inserted(testdata(t, "baseline444.jpg"), xmp),
		"restart markers":              append(testdata(t, "restart.jpg"), secret...),
		"RGB":                          append(testdata(t, "rgb.jpg"), "SPECIMEN"...),
		"PNG: text":                    withChunks(whole, chunk("tEXt", []byte("Comment\x00SPECIMEN"))),
		"PNG: private chunk":           withChunks(whole, chunk("prVt", secret)),
		"PNG: Exif thumbnail":          withChunks(whole, chunk("eXIf", exifOf(binary.LittleEndian, 1, small))),
		"PNG: colour profile":          withChunks(whole, chunk("iCCP", []byte("SPECIMEN\x00\x00"))),
		"PNG: animation":               withChunks(whole, chunk("acTL", make([]byte, 8)), chunk("fdAT", []byte("SPECIMEN"))),
		"PNG: after the end":           append(bytes.Clone(whole), secret...),
		"PNG: data after the rows":     twoIDATs(whole),
		"PNG: colours without opacity": asPNG(t, hidden(plain, 0)),
		"PNG: 16 bits":                 asPNG(t, deep(masked, plain)),
		"PNG: grey, 16 bits":           asPNG(t, deepGrey(masked, plain)),
		"PNG: palette":                 asPNG(t, paletted(masked, 255)),
		"PNG: clear palette":           asPNG(t, paletted(plain, 0)),
		"PNG: interlaced":              testdata(t, "interlaced.png"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Check(t.Context(), body, SourceInfo{})
			if err != nil {
				t.Fatal(err)
			}
			assertPixelsOnly(t, got)
			if bytes.Contains(got.File, []byte("SPECIMEN")) {
				t.Error("something of the old file is left")
			}
			if name == "PNG: colours without opacity" || name == "PNG: clear palette" {
				return // nothing is visible
			}
			if db := psnr(t, body, got.File); db < 50 {
				t.Errorf("PSNR %.1f dB", db)
			}
		})
	}
}

func testdata(t *testing.T, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// allAPPs has every APPn segment with something to hide; the last two are what Exif and Adobe would use, but are neither.
func allAPPs() (out []byte) {
	for marker := byte(0xe0); marker <= 0xef; marker++ {
		out = append(out, segment(marker, []byte("SPECIMEN"))...)
	}
	return out
}

// tailed has bytes between the last block and the end of image.
func tailed(jpg []byte) []byte {
	end := len(jpg) - 2
	return bytes.Join([][]byte{jpg[:end], bytes.Repeat([]byte("SPECIMEN"), 500), jpg[end:]}, nil)
}

// cutHeight leaves the rows below a height in the file, but not in the image.
func cutHeight(jpg []byte, height uint16) []byte {
	out := bytes.Clone(jpg)
	at := bytes.Index(out, []byte{0xff, 0xc0})
	binary.BigEndian.PutUint16(out[at+5:], height)
	return out
}

// twoIDATs has an IDAT chunk after the one with the rows' end; decoders ignore it.
func twoIDATs(body []byte) []byte {
	end := len(body) - 12
	return bytes.Join([][]byte{body[:end], chunk("IDAT", []byte("SPECIMEN")), body[end:]}, nil)
}

// deep has another image in the low bytes.
func deep(high, low *image.RGBA) image.Image {
	out := image.NewNRGBA64(high.Rect)
	for i := range high.Pix {
		out.Pix[2*i], out.Pix[2*i+1] = high.Pix[i], low.Pix[i]
		if i%4 == 3 {
			out.Pix[2*i], out.Pix[2*i+1] = 255, 255
		}
	}
	return out
}

func deepGrey(high, low *image.RGBA) image.Image {
	a, b, out := distort.Grey(high), distort.Grey(low), image.NewGray16(high.Rect)
	for i := range a.Pix {
		out.Pix[2*i], out.Pix[2*i+1] = a.Pix[i], b.Pix[i]
	}
	return out
}

func paletted(img *image.RGBA, alpha uint8) image.Image {
	var palette color.Palette
	for i := range 256 {
		palette = append(palette, color.NRGBA{uint8(i>>5&7) * 36, uint8(i>>2&7) * 36, uint8(i&3) * 85, 255})
	}
	out := image.NewPaletted(img.Rect, palette)
	draw.Draw(out, out.Rect, img, image.Point{}, draw.Src)
	for i, c := range palette {
		c, _ := c.(color.NRGBA)
		c.A = alpha
		palette[i] = c
	}
	return out
}

func psnr(t *testing.T, a, b []byte) float64 {
	t.Helper()
	x, y := rgba(t, a), rgba(t, b)
	if x.Rect != y.Rect {
		t.Fatalf("%v and %v", x.Rect, y.Rect)
	}
	sum := 0.0
	for i, v := range x.Pix {
		d := float64(v) - float64(y.Pix[i])
		sum += d * d
	}
	return 10 * math.Log10(255*255/(sum/float64(len(x.Pix)*3/4)+1e-9))
}

// rgba decodes and lays the image on white.
func rgba(t *testing.T, body []byte) *image.RGBA {
	t.Helper()
	img, _, err := image.Decode(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	out := image.NewRGBA(image.Rectangle{Max: img.Bounds().Size()})
	draw.Draw(out, out.Rect, image.White, image.Point{}, draw.Src)
	draw.Draw(out, out.Rect, img, img.Bounds().Min, draw.Over)
	return out
}

func TestTheOrientationIsKept(t *testing.T) {
	t.Parallel()
	masked := distort.Scale(card().masked, 0.3)
	jpg, whole := distort.JPEG(masked, 85), asPNG(t, masked)
	orders := []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian}
	for orientation := uint16(1); orientation <= 9; orientation++ {
		data := exifOf(orders[orientation%2], orientation, []byte("thumbnail"))
		for name, body := range map[string][]byte{
			"JPEG":        inserted(jpg, segment(0xe1, []byte("Exif\x00\x00"), data)),
			"progressive": inserted(testdata(t, "progressive.jpg"), segment(0xe1, []byte("Exif\x00\x00"), data)),
			"PNG":         withChunks(whole, chunk("eXIf", data)),
		} {
			got, err := Check(t.Context(), body, SourceInfo{})
			if err != nil {
				t.Fatal(err)
			}
			assertPixelsOnly(t, got)
			_, stored, found := bytes.Cut(got.File, []byte("II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00"))
			if wanted := orientation > 1 && orientation < 9; found != wanted || found && stored[0] != byte(orientation) {
				t.Errorf("%s, orientation %d: stored %t", name, orientation, found)
			}
		}
	}
}

func TestTheVendorsCompressedPixelsAreKept(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"baseline444.jpg", "restart.jpg"} {
		body := testdata(t, name)
		got, err := Check(t.Context(), body, SourceInfo{})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(rgba(t, body).Pix, rgba(t, got.File).Pix) || len(got.File) > len(body) {
			t.Errorf("%s: %d bytes became %d, with other pixels", name, len(body), len(got.File))
		}
	}
}

func TestAProgressiveFileOfTooManyScansIsRefusedUndecoded(t *testing.T) {
	t.Parallel()
	body := testdata(t, "progressive.jpg")
	at := bytes.Index(body, []byte{0xff, 0xda})
	many := bytes.Join([][]byte{body[:at], bytes.Repeat([]byte{0xff, 0xda, 0, 8, 1, 1, 0, 1, 1, 0, 0}, 100_000), body[at:]}, nil)
	_, err := Check(t.Context(), many, SourceInfo{})
	if err == nil || !strings.Contains(err.Error(), string(TooBusy)) {
		t.Errorf("%v, want %s", err, TooBusy)
	}
}

func FuzzStrip(f *testing.F) {
	small := distort.Scale(card().masked, 0.05)
	f.Add(distort.JPEG(small, 50))
	f.Add(distort.JPEG(distort.Grey(small), 90))
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) < 4 {
			return
		}
		if h, err := readHeader(body); err != nil || h.width*h.height > 1_000_000 {
			return // Check refuses what is too large, and decoding what is not takes a second
		}
		_, _, _ = plainBright(body, 4)
		_, stripped, err := plainBright(body, 8)
		if err != nil {
			return
		}
		if extra := extraJPEG(stripped); len(extra) > 0 {
			t.Errorf("left: %q", extra)
		}
		img, err := jpeg.Decode(bytes.NewReader(stripped))
		if err != nil {
			return
		}
		_ = png.Encode(io.Discard, img)
	})
}

// plainBright decodes and strips a plain JPEG file.
func plainBright(body []byte, side int) (*image.Gray, []byte, error) {
	f, _ := parseJPEG(body)
	components, err := f.components()
	if err != nil {
		return nil, nil, err
	}
	bright, size, err := f.brightness(components, side)
	if err != nil {
		return nil, nil, err
	}
	return bright, f.strip(components, size), nil
}

func TestBrightnessIsThatOfTheWholePicture(t *testing.T) {
	t.Parallel()
	for name, body := range map[string][]byte{
		"colours":  distort.JPEG(distort.Scale(card().plain, 0.51), 85),
		"grey":     distort.JPEG(distort.Grey(distort.Scale(card().plain, 0.5)), 60),
		"rough":    distort.JPEG(distort.Scale(card().plain, 0.4), 3),
		"4:4:4":    testdata(t, "baseline444.jpg"),
		"restarts": testdata(t, "restart.jpg"),
	} {
		whole, err := jpeg.Decode(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		full := qr.Luma(whole)
		for side, want := range map[int]*image.Gray{4: qr.Halve(full), 8: full} {
			got, _, err := plainBright(body, side)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			sum, most := 0.0, 0.0
			for y := range want.Rect.Dy() {
				for x := range want.Rect.Dx() {
					d := math.Abs(float64(want.GrayAt(x, y).Y) - float64(got.GrayAt(x, y).Y))
					sum, most = sum+d*d, max(most, d)
				}
			}
			if rms := math.Sqrt(sum / float64(want.Rect.Dx()*want.Rect.Dy())); rms > 8 && name != "rough" || side == 8 && most > 1 {
				t.Errorf("%s, %d pixels a block: differs by %.1f grey levels, at most %v", name, side, rms, most)
			}
			if got.Rect.Dx() != (full.Rect.Dx()*side+7)/8 || got.Rect.Dy() != (full.Rect.Dy()*side+7)/8 {
				t.Errorf("%s: the size is %v", name, got.Rect)
			}
		}
	}
	for _, name := range []string{"progressive.jpg", "rgb.jpg"} {
		if _, _, err := plainBright(testdata(t, name), 8); err == nil {
			t.Errorf("%s is not plain", name)
		}
	}
}
