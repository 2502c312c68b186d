package maskcheck

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"image"
	"image/color"
	"math"
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/dev/specimen/distort"
)

// The colours of the primaries under D50, as profiles have them.
var (
	srgb     = [3][3]float64{{0.43607, 0.22249, 0.01392}, {0.38515, 0.71687, 0.09708}, {0.14307, 0.06061, 0.71410}}
	adobeRGB = [3][3]float64{{0.60974, 0.31111, 0.01947}, {0.20528, 0.62567, 0.06087}, {0.14919, 0.06322, 0.74457}}
	p3       = [3][3]float64{{0.51512, 0.24120, -0.00105}, {0.29198, 0.69225, 0.04189}, {0.15710, 0.06657, 0.78407}}
)

func s15(v float64) []byte {
	return binary.BigEndian.AppendUint32(nil, uint32(int32(math.Round(v*65536))))
}

// parametricSRGB is the curve of sRGB and Display P3, of type 3.
func parametricSRGB() []byte {
	return bytes.Join([][]byte{[]byte("para\x00\x00\x00\x00\x00\x03\x00\x00"), s15(2.4), s15(1 / 1.055), s15(0.055 / 1.055), s15(1 / 12.92), s15(0.04045)}, nil)
}

func gamma(g float64) []byte {
	return binary.BigEndian.AppendUint16([]byte("curv\x00\x00\x00\x00\x00\x00\x00\x01"), uint16(math.Round(g*256)))
}

// tableOf is a curve as a table.
func tableOf(g float64) []byte {
	out := []byte("curv\x00\x00\x00\x00\x00\x00\x04\x00")
	for i := range 1024 {
		out = binary.BigEndian.AppendUint16(out, uint16(math.Round(65535*math.Pow(float64(i)/1023, g))))
	}
	return out
}

// profileOf makes a profile of a space, with the same curve for all channels.
func profileOf(space string, primaries [3][3]float64, curve []byte) []byte {
	tags, content := [][]byte{}, []byte{}
	n := uint32(6)
	if space == "GRAY" {
		n = 1
	}
	add := func(name string, data []byte) {
		entry := binary.BigEndian.AppendUint32([]byte(name), 132+12*n+uint32(len(content)))
		tags = append(tags, binary.BigEndian.AppendUint32(entry, uint32(len(data))))
		content = append(content, data...)
	}
	if space == "GRAY" {
		add("kTRC", curve)
	} else {
		for i, c := range "rgb" {
			add(string(c)+"TRC", curve)
			add(string(c)+"XYZ", bytes.Join([][]byte{[]byte("XYZ \x00\x00\x00\x00"), s15(primaries[i][0]), s15(primaries[i][1]), s15(primaries[i][2])}, nil))
		}
	}
	head := make([]byte, 128)
	copy(head[16:], space+"XYZ ")
	copy(head[36:], "acsp")
	return bytes.Join([][]byte{head, binary.BigEndian.AppendUint32(nil, n), bytes.Join(tags, nil), content}, nil)
}

// jpegWith has a profile in two segments.
func jpegWith(jpg, icc []byte) []byte {
	half := len(icc) / 2
	return inserted(jpg, append(segment(0xe2, []byte("ICC_PROFILE\x00\x01\x02"), icc[:half]), segment(0xe2, []byte("ICC_PROFILE\x00\x02\x02"), icc[half:])...))
}

func pngWith(body, icc []byte) []byte {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write(icc)
	_ = w.Close()
	return withChunks(body, chunk("iCCP", append([]byte("SPECIMEN\x00\x00"), b.Bytes()...)))
}

// shown converts a colour to sRGB by the definitions of the colour spaces under D65, without profiles.
func shown(c color.RGBA, g float64, matrix [3][3]float64) color.RGBA {
	linear := func(v uint8) float64 {
		x := float64(v) / 255
		switch {
		case g != 0:
			return math.Pow(x, g)
		case x <= 0.04045:
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	in := [3]float64{linear(c.R), linear(c.G), linear(c.B)}
	out := [3]uint8{}
	for i, row := range matrix {
		x := max(0, min(1, row[0]*in[0]+row[1]*in[1]+row[2]*in[2]))
		if x <= 0.0031308 {
			x *= 12.92
		} else {
			x = 1.055*math.Pow(x, 1/2.4) - 0.055
		}
		out[i] = uint8(math.Round(255 * x))
	}
	return color.RGBA{out[0], out[1], out[2], 255}
}

func TestColoursAreConvertedToSRGB(t *testing.T) {
	t.Parallel()
	none := [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}
	img := image.NewRGBA(image.Rect(0, 0, 240, 180))
	colours := []color.RGBA{{200, 40, 40, 255}, {40, 180, 60, 255}, {30, 60, 200, 255}, {128, 128, 128, 255}, {250, 200, 180, 255}, {20, 20, 20, 255}}
	for i, c := range colours {
		distort.Cover(img, image.Rect(40*i, 0, 40*i+40, 180), c)
	}
	jpg, whole := distort.JPEG(img, 95), asPNG(t, img)
	for name, test := range map[string]struct {
		body   []byte
		gamma  float64
		matrix [3][3]float64
	}{
		"JPEG in Display P3": {jpegWith(jpg, profileOf("RGB ", p3, parametricSRGB())), 0, [3][3]float64{{1.2249, -0.2247, 0}, {-0.0420, 1.0419, 0}, {-0.0197, -0.0786, 1.0979}}},
		"PNG in Display P3":  {pngWith(whole, profileOf("RGB ", p3, parametricSRGB())), 0, [3][3]float64{{1.2249, -0.2247, 0}, {-0.0420, 1.0419, 0}, {-0.0197, -0.0786, 1.0979}}},
		"JPEG in Adobe RGB":  {jpegWith(jpg, profileOf("RGB ", adobeRGB, gamma(2.19921875))), 2.19921875, [3][3]float64{{1.3984, -0.3984, 0}, {0, 1, 0}, {0, -0.0429, 1.0429}}},
		"JPEG in sRGB":       {jpegWith(jpg, profileOf("RGB ", srgb, parametricSRGB())), 0, none},
		"PNG, dark, a table": {pngWith(whole, profileOf("RGB ", srgb, tableOf(1.8))), 1.8, none},
		"PNG without one":    {whole, 0, none},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Check(t.Context(), test.body, SourceInfo{})
			if err != nil || strings.Contains(got.ReviewReason, ReviewColourProfile) {
				t.Fatal(got.ReviewReason, err)
			}
			assertPixelsOnly(t, got)
			stored := rgba(t, got.File)
			for i := range colours {
				c, _ := rgba(t, test.body).At(40*i+20, 90).(color.RGBA) // as compressed
				want, have := shown(c, test.gamma, test.matrix), stored.RGBAAt(40*i+20, 90)
				far := func(a, b uint8) bool { return max(a, b)-min(a, b) > 3 }
				if far(want.R, have.R) || far(want.G, have.G) || far(want.B, have.B) {
					t.Errorf("%v is stored as %v, want %v", c, have, want)
				}
			}
			if name == "JPEG in sRGB" && !bytes.Equal(rgba(t, jpg).Pix, stored.Pix) {
				t.Error("the vendor's compressed pixels were not kept")
			}
		})
	}
}

func TestGreyIsConverted(t *testing.T) {
	t.Parallel()
	img := image.NewGray(image.Rect(0, 0, 200, 150))
	for i := range img.Pix {
		img.Pix[i] = uint8(i % 200)
	}
	icc := profileOf("GRAY", srgb, gamma(1))
	for name, body := range map[string][]byte{"JPEG": jpegWith(distort.JPEG(img, 100), icc), "PNG": pngWith(asPNG(t, img), icc)} {
		got, err := Check(t.Context(), body, SourceInfo{})
		if err != nil {
			t.Fatal(err)
		}
		want := shown(color.RGBA{100, 100, 100, 255}, 1, [3][3]float64{{1}, {1}, {1}})
		if have := rgba(t, got.File).RGBAAt(100, 50); max(have.R, want.R)-min(have.R, want.R) > 4 || got.ReviewReason != ReviewSourceUnknown {
			t.Errorf("%s: %v, want %v; %s", name, have, want, got.ReviewReason)
		}
	}
}

func TestAProfileThatCannotBeConvertedIsAReview(t *testing.T) {
	t.Parallel()
	jpg := distort.JPEG(distort.Scale(card().masked, 0.3), 85)
	good := profileOf("RGB ", p3, parametricSRGB())
	for name, body := range map[string][]byte{
		"of another space":  jpegWith(jpg, profileOf("GRAY", srgb, gamma(2.2))),
		"CMYK":              jpegWith(jpg, profileOf("CMYK", srgb, gamma(2.2))),
		"cut short":         jpegWith(jpg, good[:len(good)-60]),
		"a curve of no use": jpegWith(jpg, profileOf("RGB ", srgb, []byte("para\x00\x00\x00\x00\x00\x09\x00\x00"))),
		"no profile":        jpegWith(jpg, []byte("SPECIMEN")),
		"PNG, not deflated": withChunks(asPNG(t, card().masked), chunk("iCCP", []byte("SPECIMEN\x00\x00SPECIMEN"))),
	} {
		got, err := Check(t.Context(), body, SourceInfo{})
		if err != nil || got.ReviewReason != ReviewColourProfile+","+ReviewSourceUnknown {
			t.Errorf("%s: %q, %v", name, got.ReviewReason, err)
		}
		assertPixelsOnly(t, got)
	}
}

// cmyk is a JPEG file of four flat components in one MCU, inverted as Adobe's programs write them.
func cmyk(c, m, y, k byte) []byte {
	out := []byte{0xff, 0xd8}
	out = append(out, segment(0xee, []byte("Adobe\x00\x64\x00\x00\x00\x00\x00"))...)
	out = append(out, segment(0xdb, append([]byte{0}, bytes.Repeat([]byte{1}, 64)...))...)
	out = append(out, segment(0xc0, []byte{8, 0, 8, 0, 8, 4, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0})...)
	out = append(out, segment(0xc4, []byte{0x00, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})...)
	out = append(out, segment(0xc4, []byte{0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})...)
	out = append(out, segment(0xda, []byte{4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0})...)
	bits := ""
	put := func(v, n int) {
		for i := n - 1; i >= 0; i-- {
			bits += string(rune('0' + v>>i&1))
		}
	}
	for _, v := range []byte{c, m, y, k} {
		const size = 11
		level := 8 * (127 - int(v))
		if level < 0 {
			level += 1<<size - 1
		} else if level < 1<<(size-1) {
			level = 1 << (size - 1) // the lightest that eleven bits have
		}
		put(size, 4)
		put(level, size)
		put(0, 1)
	}
	for bits += "1111111"; len(bits) >= 8; bits = bits[8:] {
		v := byte(0)
		for _, bit := range bits[:8] {
			v = v<<1 | byte(bit-'0')
		}
		if out = append(out, v); v == 0xff {
			out = append(out, 0)
		}
	}
	return append(out, 0xff, 0xd9)
}

func TestTheColoursOfPrintLookTheSame(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body []byte
		want color.RGBA
	}{
		"paper": {cmyk(0, 0, 0, 0), color.RGBA{255, 255, 255, 255}},
		"red":   {cmyk(0, 255, 255, 0), color.RGBA{255, 0, 0, 255}},
		"blue":  {cmyk(255, 255, 0, 0), color.RGBA{0, 0, 255, 255}},
		"black": {cmyk(0, 0, 0, 255), color.RGBA{0, 0, 0, 255}},
	} {
		for _, body := range [][]byte{test.body, jpegWith(test.body, profileOf("CMYK", srgb, gamma(2.2)))} {
			got, err := Check(t.Context(), body, SourceInfo{})
			if err != nil {
				t.Fatal(name, err)
			}
			have := rgba(t, got.File).RGBAAt(4, 4)
			if max(have.R, test.want.R)-min(have.R, test.want.R) > 3 || max(have.G, test.want.G)-min(have.G, test.want.G) > 3 || max(have.B, test.want.B)-min(have.B, test.want.B) > 3 {
				t.Errorf("%s is stored as %v", name, have)
			}
			if hasProfile := !bytes.Equal(body, test.body); hasProfile != strings.Contains(got.ReviewReason, ReviewColourProfile) {
				t.Errorf("%s: review %q", name, got.ReviewReason)
			}
		}
	}
}
