package maskcheck

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
)

// JPEG markers.
const (
	markSOF0, markSOF1, markSOF2  = 0xc0, 0xc1, 0xc2 // baseline, extended sequential and progressive frames
	markDHT, markDQT, markDRI     = 0xc4, 0xdb, 0xdd
	markSOI, markEOI, markSOS     = 0xd8, 0xd9, 0xda
	markAPP1, markAPP2, markAPP14 = 0xe1, 0xe2, 0xee
	markRST0                      = 0xd0
)

// errNotPlain means that a JPEG file cannot be stripped: it is damaged, or not of the plain form.
var errNotPlain = errors.New("not a plain JPEG file")

// A jpegFile is a JPEG file of the plain form: one frame, one scan of all components, Huffman coding, 8 bits. That is what
// nearly all programs write, unless asked for a progressive file.
type jpegFile struct {
	orientation  byte
	icc          []byte       // the colour profile
	otherColours bool         // than grey and YCbCr
	quant        [4][]byte    // quantization tables, each with its leading byte of precision and number
	codes        [2][4][]byte // Huffman tables for DC and AC, each with its leading byte of class and number
	frameMarker  byte
	frame, scan  []byte // the segments' contents
	interval     int    // MCUs between restart markers; 0 if there are none
	data         []byte // entropy-coded data, and all that follows it
}

// parseJPEG reads the segments up to the image data.
func parseJPEG(body []byte) (f jpegFile, err error) {
	for at := 2; at+4 <= len(body) && body[at] == 0xff; {
		marker := body[at+1]
		if marker == 0xff { // padding
			at++
			continue
		}
		end := at + 2 + int(binary.BigEndian.Uint16(body[at+2:]))
		if marker < markSOF0 || marker >= markRST0 && marker <= markEOI || end < at+4 || end > len(body) {
			return f, errNotPlain
		}
		segment := body[at+4 : end]
		at = end
		switch marker {
		case markDQT:
			err = f.addQuant(segment)
		case markDHT:
			err = f.addCodes(segment)
		case markSOF0, markSOF1, markSOF2:
			if f.frame != nil {
				return f, errNotPlain
			}
			f.frameMarker, f.frame = marker, segment
		case markDRI:
			if len(segment) != 2 {
				return f, errNotPlain
			}
			f.interval = int(binary.BigEndian.Uint16(segment))
		case markAPP1:
			if o := exifOrientation(segment); o != 0 {
				f.orientation = o
			}
		case markAPP2:
			// Two bytes number the parts of the profile.
			if part, ok := bytes.CutPrefix(segment, []byte("ICC_PROFILE\x00")); ok && len(part) >= 2 && len(f.icc) < maxProfile {
				f.icc = append(f.icc, part[2:]...)
			}
		case markAPP14:
			// Adobe's segment ends with the transformation of the colours: 1 is YCbCr.
			f.otherColours = len(segment) >= 12 && string(segment[:5]) == "Adobe" && segment[11] != 1
		case markSOS:
			f.scan, f.data = segment, body[end:]
			return f, nil
		default:
			if marker >= markSOF0 && marker < markRST0 { // lossless, arithmetic, hierarchical
				return f, errNotPlain
			}
		}
		if err != nil {
			return f, err
		}
	}
	return f, errNotPlain
}

func (f *jpegFile) addQuant(segment []byte) error {
	for len(segment) > 0 {
		size := 65
		if segment[0]>>4 != 0 {
			size = 129
		}
		if segment[0]&15 > 3 || len(segment) < size {
			return errNotPlain
		}
		f.quant[segment[0]&15], segment = segment[:size], segment[size:]
	}
	return nil
}

func (f *jpegFile) addCodes(segment []byte) error {
	for len(segment) > 0 {
		if len(segment) < 17 || segment[0]>>4 > 1 || segment[0]&15 > 3 {
			return errNotPlain
		}
		size := 17
		for _, n := range segment[1:17] {
			size += int(n)
		}
		if len(segment) < size {
			return errNotPlain
		}
		f.codes[segment[0]>>4][segment[0]&15], segment = segment[:size], segment[size:]
	}
	return nil
}

// A component of a frame, with the tables that its scan uses.
type component struct{ h, v, quant, dc, ac int }

// components returns errNotPlain for a file whose only scan does not have all components, and for one whose colours are
// not grey or YCbCr.
func (f *jpegFile) components() ([]component, error) {
	if len(f.frame) < 6 || f.frame[0] != 8 || f.frameMarker == markSOF2 {
		return nil, errNotPlain
	}
	n := int(f.frame[5])
	if n != 1 && n != 3 || len(f.frame) != 6+3*n || len(f.scan) != 4+2*n || int(f.scan[0]) != n {
		return nil, errNotPlain
	}
	out := make([]component, n)
	for i := range out {
		of, in := f.frame[6+3*i:], f.scan[1+2*i:]
		c := component{int(of[1] >> 4), int(of[1] & 15), int(of[2]), int(in[1] >> 4), int(in[1] & 15)}
		if of[0] != in[0] || c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 || c.quant > 3 || c.dc > 3 || c.ac > 3 ||
			f.quant[c.quant] == nil || f.codes[0][c.dc] == nil || f.codes[1][c.ac] == nil {
			return nil, errNotPlain
		}
		out[i] = c
	}
	if n == 1 {
		out[0].h, out[0].v = 1, 1 // a scan of one component is not interleaved
		return out, nil
	}
	y, cb, cr := f.frame[6], f.frame[9], f.frame[12]
	if f.otherColours || y == 'R' && cb == 'G' && cr == 'B' || y == cb || y == cr || cb == cr {
		return nil, errNotPlain
	}
	return out, nil
}

// strip rewrites a plain JPEG file: the tables that the image data uses, the size bytes of image data to its last block, and an
// Exif segment with the orientation. Nothing else of the file remains, but the pixels are the same.
func (f *jpegFile) strip(components []component, size int) []byte {
	var quant [4]bool
	var codes [2][4]bool
	for _, c := range components {
		quant[c.quant], codes[0][c.dc], codes[1][c.ac] = true, true, true
	}
	out := make([]byte, 0, size+2048)
	out = append(out, 0xff, markSOI)
	out = appendOrientation(out, f.orientation)
	for i, used := range quant {
		if used {
			out = appendSegment(out, markDQT, f.quant[i])
		}
	}
	out = appendSegment(out, f.frameMarker, f.frame)
	for class := range codes {
		for i, used := range codes[class] {
			if used {
				out = appendSegment(out, markDHT, f.codes[class][i])
			}
		}
	}
	if f.interval > 0 {
		out = appendSegment(out, markDRI, binary.BigEndian.AppendUint16(nil, uint16(f.interval)))
	}
	// The last three bytes of the scan's header have no meaning in a sequential file.
	out = appendSegment(out, markSOS, append(append([]byte{}, f.scan[:len(f.scan)-3]...), 0, 63, 0))
	out = append(out, f.data[:size]...)
	return append(out, 0xff, markEOI)
}

// appendOrientation appends nothing if the pixels are to be shown as they are stored.
func appendOrientation(out []byte, orientation byte) []byte {
	if orientation <= 1 {
		return out
	}
	return appendSegment(out, markAPP1, append([]byte("Exif\x00\x00"), exif(orientation)...))
}

func appendSegment(out []byte, marker byte, content []byte) []byte {
	out = append(out, 0xff, marker)
	out = binary.BigEndian.AppendUint16(out, uint16(len(content)+2))
	return append(out, content...)
}

// size is that of the frame, in pixels.
func (f *jpegFile) size() image.Point {
	return image.Pt(int(binary.BigEndian.Uint16(f.frame[3:])), int(binary.BigEndian.Uint16(f.frame[1:])))
}

// eachBlock calls read for the n-th block of each component in each MCU, and returns the length of the entropy-coded
// data up to the last block. What follows, such as rows that the frame's height leaves out, does not belong to the image.
func (f *jpegFile) eachBlock(components []component, read func(bits *bitReader, i, mcu, n int, dc, ac *huffman) bool) (int, error) {
	wide, high := 1, 1
	for _, c := range components {
		wide, high = max(wide, c.h), max(high, c.v)
	}
	size := f.size()
	mcus := ((size.X + 8*wide - 1) / (8 * wide)) * ((size.Y + 8*high - 1) / (8 * high))
	var tables [2][4]*huffman
	for class := range tables {
		for i, content := range f.codes[class] {
			if content != nil {
				tables[class][i] = newHuffman(content)
			}
		}
	}
	bits := bitReader{data: f.data}
	restart := byte(0)
	for mcu := range mcus {
		if f.interval > 0 && mcu > 0 && mcu%f.interval == 0 {
			if !bits.restart(restart) {
				return 0, errNotPlain
			}
			restart = (restart + 1) % 8
		}
		for i, c := range components {
			for n := range c.h * c.v {
				if !read(&bits, i, mcu, n, tables[0][c.dc], tables[1][c.ac]) {
					return 0, errNotPlain
				}
			}
		}
	}
	return bits.used(), nil
}

// A huffman is a decoding table.
type huffman struct {
	short  [1 << 9]uint16 // by the next 9 bits: length and value; 0 if the code is longer
	limit  [17]int32      // by length: the first code that is too large
	first  [17]int32      // by length: the index of the first value, less the first code
	values []byte
}

func newHuffman(content []byte) *huffman {
	h := &huffman{values: content[17:]}
	code, index := int32(0), int32(0)
	for length := 1; length <= 16; length++ {
		h.first[length] = index - code
		for range content[length] {
			if length <= 9 {
				from := int(code) << (9 - length)
				for i := from; i < from+1<<(9-length) && i < len(h.short); i++ {
					h.short[i] = uint16(length)<<8 | uint16(h.values[index])
				}
			}
			code, index = code+1, index+1
		}
		h.limit[length] = code
		code <<= 1
	}
	return h
}

// A bitReader reads entropy-coded data up to the next marker.
type bitReader struct {
	data []byte
	at   int    // of the next byte
	bits uint64 // the next n bits are the highest
	n    int
}

func (b *bitReader) fill() {
	for b.n <= 56 && b.at < len(b.data) {
		v := b.data[b.at]
		if v == 0xff {
			if b.at+1 >= len(b.data) || b.data[b.at+1] != 0 {
				return
			}
			b.at++
		}
		b.at++
		b.bits |= uint64(v) << (56 - b.n)
		b.n += 8
	}
}

// symbol decodes a symbol and the number that follows it, of as many bits as the symbol's lower four bits say.
func (b *bitReader) symbol(h *huffman) (value byte, number int, ok bool) {
	if b.n < 32 { // a code of at most 16 bits and a number of at most 15
		b.fill()
	}
	entry := h.short[b.bits>>55]
	length := int(entry >> 8)
	value = byte(entry)
	if length == 0 {
		for length = 10; ; length++ {
			if length > 16 {
				return 0, 0, false
			}
			if code := int32(b.bits >> (64 - length)); code < h.limit[length] {
				at := int(h.first[length] + code)
				if at < 0 || at >= len(h.values) {
					return 0, 0, false
				}
				value = h.values[at]
				break
			}
		}
	}
	b.bits <<= length
	size := int(value & 15)
	if number = int(b.bits >> 32 >> (32 - size)); number < 1<<size>>1 {
		number -= 1<<size - 1 // the first bit is that of the sign
	}
	b.bits <<= size
	b.n -= length + size
	return value, number, b.n >= 0
}

func (b *bitReader) skipBlock(dc, ac *huffman) bool {
	if value, _, ok := b.symbol(dc); !ok || value > 11 {
		return false
	}
	for k := 1; k < 64; k++ {
		value, _, ok := b.symbol(ac)
		switch {
		case !ok:
			return false
		case value&15 == 0 && value != 0xf0: // the rest of the block is zero
			return true
		}
		k += int(value >> 4)
	}
	return true
}

// restart reads a restart marker.
func (b *bitReader) restart(number byte) bool {
	at := b.used()
	if at+2 > len(b.data) || b.data[at] != 0xff || b.data[at+1] != markRST0+number {
		return false
	}
	b.at, b.bits, b.n = at+2, 0, 0
	return true
}

// used is the number of bytes that were read, the one with the last bit included.
func (b *bitReader) used() int {
	at := b.at
	for range b.n / 8 {
		at--
		if b.data[at] == 0 && at > 0 && b.data[at-1] == 0xff {
			at--
		}
	}
	return at
}
