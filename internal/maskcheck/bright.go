package maskcheck

import (
	"encoding/binary"
	"image"
)

// zigzag are the places of a block's coefficients, row by row, in the order of the file.
var zigzag = [64]byte{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}

// brightness decodes the brightness of a plain JPEG file, and returns the length of the entropy-coded data. A side of a block is 8
// pixels, or 4 for half of the resolution.
func (f *jpegFile) brightness(components []component, side int) (bright *image.Gray, length int, err error) {
	c := components[0]
	if c.h == 3 || c.v == 3 { // few programs can show such a file
		return nil, 0, errNotPlain
	}
	for _, other := range components[1:] {
		if other.h > c.h || other.v > c.v {
			return nil, 0, errNotPlain
		}
	}
	var quant [64]int
	table := f.quant[c.quant]
	for k := range quant {
		if len(table) == 65 {
			quant[k] = int(table[1+k])
		} else {
			quant[k] = int(binary.BigEndian.Uint16(table[1+2*k:]))
		}
	}
	size := f.size()
	mcusAcross := (size.X + 8*c.h - 1) / (8 * c.h)
	mcusDown := (size.Y + 8*c.v - 1) / (8 * c.v)
	out := image.NewGray(image.Rect(0, 0, mcusAcross*side*c.h, mcusDown*side*c.v))
	dc := 0
	length, err = f.eachBlock(components, func(bits *bitReader, i, mcu, n int, dcTable, acTable *huffman) bool {
		if i > 0 {
			return bits.skipBlock(dcTable, acTable)
		}
		if n == 0 && f.interval > 0 && mcu%f.interval == 0 {
			dc = 0
		}
		var block [64]int
		if !bits.readBlock(dcTable, acTable, &quant, &dc, &block) {
			return false
		}
		x, y := mcu%mcusAcross*c.h+n%c.h, mcu/mcusAcross*c.v+n/c.h
		if pix := out.Pix[side*(y*out.Stride+x):]; side == 4 {
			inverseHalf(&block, pix, out.Stride)
		} else {
			inverse(&block, pix, out.Stride)
		}
		return true
	})
	bright, _ = out.SubImage(image.Rect(0, 0, (size.X*side+7)/8, (size.Y*side+7)/8)).(*image.Gray)
	return bright, length, err
}

// readBlock reads a block's coefficients, dequantized, row by row.
func (b *bitReader) readBlock(dcTable, acTable *huffman, quant *[64]int, dc *int, block *[64]int) bool {
	value, number, ok := b.symbol(dcTable)
	if !ok || value > 11 {
		return false
	}
	*dc += number
	block[0] = *dc * quant[0]
	for k := 1; k < 64; k++ {
		value, number, ok := b.symbol(acTable)
		switch {
		case !ok:
			return false
		case value&15 == 0 && value != 0xf0: // the rest of the block is zero
			return true
		}
		k += int(value >> 4)
		if k > 63 {
			return false
		}
		block[zigzag[k]] = number * quant[k]
	}
	return true
}

// inverse is the inverse discrete cosine transform of a block.
func inverse(block *[64]int, out []byte, stride int) {
	for i := range 8 {
		column := block[i:]
		a, b, c, d, e, f, g, h := inverse8(column[0], column[8], column[16], column[24], column[32], column[40], column[48], column[56])
		column[0], column[8], column[16], column[24], column[32], column[40], column[48], column[56] = a, b, c, d, e, f, g, h
	}
	for y := range 8 {
		in, row := block[8*y:][:8], out[y*stride:][:8]
		a, b, c, d, e, f, g, h := inverse8(in[0], in[1], in[2], in[3], in[4], in[5], in[6], in[7])
		for x, v := range [8]int{a, b, c, d, e, f, g, h} {
			row[x] = shade(v)
		}
	}
}

// inverseHalf is inverse for the four lowest coefficients of the four lowest rows.
func inverseHalf(block *[64]int, out []byte, stride int) {
	for i := range 4 {
		block[i], block[i+8], block[i+16], block[i+24] = inverse4(block[i], block[i+8], block[i+16], block[i+24])
	}
	for y := range 4 {
		a, b, c, d := inverse4(block[8*y], block[8*y+1], block[8*y+2], block[8*y+3])
		row := out[y*stride:][:4]
		for x, v := range [4]int{a, b, c, d} {
			row[x] = shade(v)
		}
	}
}

// shade is the brightness of a transformed value, which was multiplied by 4096 twice.
func shade(v int) uint8 { return uint8(max(0, min(255, (v+1<<23)>>24+128))) }

// inverse8 multiplies by 4096.
func inverse8(a, b, c, d, e, f, g, h int) (s, t, u, v, w, x, y, z int) {
	p, q, r, o := inverse4(a, c, e, g)
	if b|d|f|h == 0 {
		return p, q, r, o, o, r, q, p
	}
	const c1, c3, c5, c7 = 2009, 1703, 1138, 400 // cos(kπ/16)/2
	i := c1*b + c3*d + c5*f + c7*h
	j := c3*b - c7*d - c1*f - c5*h
	k := c5*b - c1*d + c7*f + c3*h
	l := c7*b - c5*d + c3*f - c1*h
	return p + i, q + j, r + k, o + l, o - l, r - k, q - j, p - i
}

// inverse4 multiplies by 4096.
func inverse4(a, b, c, d int) (w, x, y, z int) {
	const half, long, short = 1448, 1892, 784 // cos(π/4)/2, cos(π/8)/2 and cos(3π/8)/2
	even, other := half*(a+c), half*(a-c)
	odd, rest := long*b+short*d, short*b-long*d
	return even + odd, other + rest, other - rest, even - odd
}
