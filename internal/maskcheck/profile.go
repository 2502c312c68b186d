package maskcheck

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"image"
	"io"
	"math"
	"sync"
)

// maxProfile is the largest colour profile that is read, in bytes.
const maxProfile = 4 << 20

// errProfile means that a colour profile cannot be converted from: it is damaged, has tables instead of curves and a matrix
// (printers and most CMYK profiles), or is for another kind of picture.
var errProfile = errors.New("not a colour profile with curves and a matrix")

// A profile converts the colours of a picture to sRGB.
type profile struct {
	grey   bool
	curves [3][256]float64 // from a channel's value to linear light; of a grey profile the first
	matrix [3][3]float64   // to linear sRGB
}

// fromD50 converts the colours that profiles refer to, XYZ under the light D50, to linear sRGB (Bradford adaptation).
var fromD50 = [3][3]float64{
	{3.1338561, -1.6168667, -0.4906146},
	{-0.9787684, 1.9161415, 0.0334540},
	{0.0719453, -0.2289914, 1.4052427},
}

// parseProfile reads an ICC profile (ICC.1:2010).
func parseProfile(icc []byte) (p profile, err error) {
	if len(icc) < 132 || string(icc[36:40]) != "acsp" || string(icc[20:24]) != "XYZ " {
		return p, errProfile
	}
	switch string(icc[16:20]) {
	case "GRAY":
		p.grey = true
		p.curves[0], err = parseCurve(tag(icc, "kTRC"))
		return p, err
	case "RGB ":
	default:
		return p, errProfile
	}
	for i, c := range "rgb" {
		if p.curves[i], err = parseCurve(tag(icc, string(c)+"TRC")); err != nil {
			return p, err
		}
		xyz := tag(icc, string(c)+"XYZ")
		if len(xyz) < 20 || string(xyz[:4]) != "XYZ " {
			return p, errProfile
		}
		for to := range 3 {
			for k := range 3 {
				p.matrix[to][i] += fromD50[to][k] * fixed(xyz[8+4*k:])
			}
		}
	}
	return p, nil
}

// tag returns the content of a tag, nil if there is none.
func tag(icc []byte, name string) []byte {
	n := binary.BigEndian.Uint32(icc[128:])
	for entry := icc[132:]; n > 0 && len(entry) >= 12; n, entry = n-1, entry[12:] {
		if string(entry[:4]) != name {
			continue
		}
		from, size := int64(binary.BigEndian.Uint32(entry[4:])), int64(binary.BigEndian.Uint32(entry[8:]))
		if from+size > int64(len(icc)) {
			return nil
		}
		return icc[from : from+size]
	}
	return nil
}

// fixed reads a number with 16 bits behind the point.
func fixed(b []byte) float64 { return float64(int32(binary.BigEndian.Uint32(b))) / 65536 }

// parseCurve reads a curve, as a table or with parameters.
func parseCurve(content []byte) (curve [256]float64, err error) {
	if len(content) < 12 {
		return curve, errProfile
	}
	at := func(x float64) float64 { return x }
	n := int(binary.BigEndian.Uint32(content[8:]))
	switch kind := string(content[:4]); {
	case kind == "curv" && n == 0:
	case kind == "curv" && n == 1 && len(content) >= 14:
		gamma := float64(binary.BigEndian.Uint16(content[12:])) / 256
		at = func(x float64) float64 { return math.Pow(x, gamma) }
	case kind == "curv" && n > 1 && n <= (len(content)-12)/2:
		entry := func(i int) float64 { return float64(binary.BigEndian.Uint16(content[12+2*i:])) / 65535 }
		at = func(x float64) float64 {
			i := min(int(x*float64(n-1)), n-2)
			part := x*float64(n-1) - float64(i)
			return entry(i)*(1-part) + entry(i+1)*part
		}
	case kind == "para":
		if at, err = parametric(content); err != nil {
			return curve, err
		}
	default:
		return curve, errProfile
	}
	for v := range curve {
		if curve[v] = at(float64(v) / 255); math.IsNaN(curve[v]) || math.IsInf(curve[v], 0) {
			return curve, errProfile
		}
	}
	return curve, nil
}

// parametric reads the functions of type 0 to 4: (ax+b)^g+e from d on, and cx+f below.
func parametric(content []byte) (func(float64) float64, error) {
	kind := int(binary.BigEndian.Uint16(content[8:]))
	counts := []int{1, 3, 4, 5, 7}
	if kind >= len(counts) || len(content) < 12+4*counts[kind] {
		return nil, errProfile
	}
	v := [7]float64{1: 1} // g, a, b, c, d, e, f
	for i := range counts[kind] {
		v[i] = fixed(content[12+4*i:])
	}
	g, a, b, c, d, e, f := v[0], v[1], v[2], v[3], v[4], v[5], v[6]
	switch kind {
	case 1: // 0 below −b/a
		c, d = 0, -b/a
	case 2: // c is added to both parts
		c, d, e, f = 0, -b/a, v[3], v[3]
	}
	return func(x float64) float64 {
		if kind > 0 && x < d {
			return c*x + f
		}
		return math.Pow(a*x+b, g) + e
	}, nil
}

// encodeSteps is how many steps of linear light are told apart when it is encoded: in the dark, one and a quarter for a level.
const encodeSteps = 4096

// encoded is the sRGB value of each step of linear light.
var encoded = sync.OnceValue(func() (table [encodeSteps + 1]uint8) {
	for i := range table {
		x := float64(i) / encodeSteps
		if x <= 0.0031308 {
			x *= 12.92
		} else {
			x = 1.055*math.Pow(x, 1/2.4) - 0.055
		}
		table[i] = uint8(x*255 + 0.5)
	}
	return table
})

func step(linear float64) int { return int(max(0, min(1, linear))*encodeSteps + 0.5) }

// rgb converts a colour.
func (p *profile) rgb(table *[encodeSteps + 1]uint8, r, g, b uint8) (sr, sg, sb uint8) {
	x, y, z := p.curves[0][r], p.curves[1][g], p.curves[2][b]
	return table[step(p.matrix[0][0]*x+p.matrix[0][1]*y+p.matrix[0][2]*z)],
		table[step(p.matrix[1][0]*x+p.matrix[1][1]*y+p.matrix[1][2]*z)],
		table[step(p.matrix[2][0]*x+p.matrix[2][1]*y+p.matrix[2][2]*z)]
}

// isSRGB reports whether conversion changes nothing that is visible.
func (p *profile) isSRGB() bool {
	table := encoded()
	near := func(a, b uint8) bool { return a-b+2 <= 4 }
	for i := range 125 {
		r, g, b := uint8(i%5*63), uint8(i/5%5*63), uint8(i/25*63)
		if p.grey {
			r = uint8(2 * i)
			if !near(table[step(p.curves[0][r])], r) {
				return false
			}
		} else if sr, sg, sb := p.rgb(&table, r, g, b); !near(sr, r) || !near(sg, g) || !near(sb, b) {
			return false
		}
	}
	return true
}

// toSRGB converts the picture from the colour profile of its file. It reports whether there was one that cannot be converted.
func (p *picture) toSRGB(icc []byte) (unknown bool) {
	if icc == nil {
		return false
	}
	from, err := parseProfile(icc)
	grey, isGrey := p.pixels.(*image.Gray)
	switch {
	case err != nil || from.grey != isGrey || p.cmyk:
		return true
	case from.isSRGB():
		return false
	}
	table := encoded()
	p.file = nil
	if isGrey {
		for i, v := range grey.Pix {
			grey.Pix[i] = table[step(from.curves[0][v])]
		}
		return false
	}
	if src, ok := p.pixels.(*image.YCbCr); ok {
		p.pixels = plainRGBA(src)
	}
	if img, ok := p.pixels.(*image.RGBA); ok {
		for i := 0; i+4 <= len(img.Pix); i += 4 {
			img.Pix[i], img.Pix[i+1], img.Pix[i+2] = from.rgb(&table, img.Pix[i], img.Pix[i+1], img.Pix[i+2])
		}
	}
	return false
}

// pngProfile returns the content of the profile's chunk; empty if it is damaged, nil if there is none.
func pngProfile(body []byte) []byte {
	chunk := pngChunk(body, "iCCP")
	if chunk == nil {
		return nil
	}
	_, rest, _ := bytes.Cut(chunk, []byte{0})
	if len(rest) == 0 {
		return []byte{}
	}
	r, err := zlib.NewReader(bytes.NewReader(rest[1:])) // after the method
	if err != nil {
		return []byte{}
	}
	icc, err := io.ReadAll(io.LimitReader(r, maxProfile))
	if err != nil {
		return []byte{}
	}
	return icc
}
