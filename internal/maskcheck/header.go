package maskcheck

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
)

// A header is what can be known of an image without decoding it.
type header struct {
	contentType, ext string
	width, height    int
	// cost is the memory that decoding and searching take, in bytes.
	cost int64
	// least is the smallest file that can hold this many pixels, in bytes.
	least int64
	// embedded says that the file holds another image.
	embedded bool
	decode   func(*bytes.Reader) (image.Image, error)
}

var (
	jpegStart = []byte{0xff, 0xd8, 0xff}
	pngStart  = []byte("\x89PNG\r\n\x1a\n")
)

// readHeader looks at JPEG and PNG by their first bytes; formats that other packages register are not considered.
func readHeader(body []byte) (h header, err error) {
	defer func() {
		if recover() != nil {
			err = unsafe(Undecodable)
		}
	}()
	var config image.Config
	switch {
	case bytes.HasPrefix(body, jpegStart):
		h = header{contentType: "image/jpeg", ext: "jpg", decode: func(r *bytes.Reader) (image.Image, error) { return jpeg.Decode(r) }}
		config, err = jpeg.DecodeConfig(bytes.NewReader(body))
	case bytes.HasPrefix(body, pngStart):
		h = header{contentType: "image/png", ext: "png", decode: func(r *bytes.Reader) (image.Image, error) { return png.Decode(r) }}
		config, err = png.DecodeConfig(bytes.NewReader(body))
	default:
		return header{}, unsafe(NotAnImage)
	}
	if err != nil || config.Width <= 0 || config.Height <= 0 {
		return header{}, unsafe(Undecodable)
	}
	h.width, h.height = config.Width, config.Height
	pixels := int64(h.width) * int64(h.height)
	if pixels > MaxPixels {
		return header{}, unsafe(TooManyPixels)
	}
	if h.ext == "jpg" {
		h.cost, h.least = costJPEG(body, config.ColorModel, pixels)
		// In the picture's own data 0xff is followed by 0x00 or a restart marker, so this is another picture's start.
		h.embedded = bytes.Contains(body[len(jpegStart):], jpegStart)
	} else {
		h.cost, h.least = costPNG(config, pixels)
		h.embedded = embeddedPNG(body)
	}
	return h, nil
}

// searching is the memory that the search for QR codes takes, in bytes a pixel: a brightness plane and a half of one.
const searching = 2

// costJPEG: image/jpeg holds one to four samples a pixel, and twice that while it converts four. A progressive file
// keeps each sample's coefficient in four more bytes until the end. No file spends less than one bit on a block of 64.
func costJPEG(body []byte, model color.Model, pixels int64) (cost, least int64) {
	samples := int64(3) // chroma may be sampled at full resolution
	held := samples
	switch model {
	case color.GrayModel:
		samples, held = 1, 1
	case color.CMYKModel:
		samples, held = 4, 8
	}
	if progressive(body) {
		held += 4 * samples
	}
	return pixels * (held + searching), pixels / 64 / 8
}

// progressive walks the segments before the picture's data, looking for the start of a progressive frame (SOF2).
func progressive(body []byte) bool {
	for at := 2; at+4 <= len(body) && body[at] == 0xff; {
		marker := body[at+1]
		switch {
		case marker == 0xff: // padding
			at++
			continue
		case marker == 0xc2:
			return true
		case marker == 0xda: // the data begins
			return false
		}
		at += 2 + int(binary.BigEndian.Uint16(body[at+2:]))
	}
	return false
}

// costPNG: deflate shrinks to no less than 1/1032 of the rows' bytes.
func costPNG(config image.Config, pixels int64) (cost, least int64) {
	held := int64(4)
	switch model := config.ColorModel; model {
	case color.GrayModel:
		held = 1
	case color.Gray16Model:
		held = 2
	case color.NRGBA64Model, color.RGBA64Model:
		held = 8
	default:
		if _, ok := model.(color.Palette); ok {
			held = 1
		}
	}
	return pixels * (held + searching), pixels / 8 / 1032 // one bit a pixel at least
}

// embeddedPNG walks the chunks: an animation's frames, Exif data with a thumbnail, or anything after the end.
func embeddedPNG(body []byte) bool {
	for at := len(pngStart); at+12 <= len(body); {
		length, kind := int64(binary.BigEndian.Uint32(body[at:])), string(body[at+4:at+8])
		end := int64(at) + 12 + length
		switch {
		case kind == "fcTL" || kind == "fdAT":
			return true
		case end > int64(len(body)):
			return false // cut short; decoding will say so
		case kind == "eXIf" && bytes.Contains(body[at+8:end-4], jpegStart):
			return true
		case kind == "IEND":
			return end < int64(len(body))
		}
		at = int(end)
	}
	return false
}
