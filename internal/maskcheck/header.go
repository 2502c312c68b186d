package maskcheck

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
)

// A header describes an image that is not decoded yet.
type header struct {
	contentType, ext string
	width, height    int
	cost             int64 // memory for decoding, searching and encoding, in bytes
	least            int64 // the smallest possible file with this many pixels, in bytes
	decode           func(io.Reader) (image.Image, error)
}

var (
	jpegStart = []byte{0xff, 0xd8, 0xff}
	pngStart  = []byte("\x89PNG\r\n\x1a\n")
)

// readHeader detects JPEG and PNG by their first bytes. It ignores formats registered by other packages.
func readHeader(body []byte) (h header, err error) {
	defer func() {
		if recover() != nil {
			err = unsafe(Undecodable)
		}
	}()
	var config image.Config
	switch {
	case bytes.HasPrefix(body, jpegStart):
		h = header{contentType: "image/jpeg", ext: "jpg", decode: jpeg.Decode}
		config, err = jpeg.DecodeConfig(bytes.NewReader(body))
	case bytes.HasPrefix(body, pngStart):
		h = header{contentType: "image/png", ext: "png", decode: png.Decode}
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
	} else {
		h.cost, h.least = costPNG(config, pixels)
	}
	return h, nil
}

// searching is the memory of the search for QR codes, in bytes per pixel: a brightness plane and a half of one.
const searching = 2

// costJPEG: image/jpeg holds one to four samples per pixel, and twice as many while it converts four. For progressive files
// it also holds a coefficient of four bytes per sample. A file has at least one bit per block of 64 pixels.
func costJPEG(body []byte, model color.Model, pixels int64) (cost, least int64) {
	samples := int64(3) // chroma may be sampled at full resolution
	held := samples
	switch model {
	case color.GrayModel:
		samples, held = 1, 1
	case color.CMYKModel:
		samples, held = 4, 12
	}
	f, _ := parseJPEG(body)
	if f.frameMarker != markSOF0 && f.frameMarker != markSOF1 { // progressive, or not known
		held += 4 * samples
	}
	if f.icc != nil {
		held += 4 // converted to RGBA
	}
	return pixels * (held + searching), pixels / 64 / 8
}

// maxBlockVisits is how many blocks of 8×8 samples may be visited by the scans of one JPEG file. A progressive file of 40 MP
// in 10 scans visits 19 million. A file may have a scan for every hundred bytes, each of which visits every block.
const maxBlockVisits = 1 << 26

// costlyScans reports whether decoding would visit too many blocks. It counts too many scans rather than too few.
func costlyScans(body []byte, h header) bool {
	blocks := (int64(h.width) + 31) / 8 * ((int64(h.height) + 31) / 8) * 3
	return int64(bytes.Count(body, []byte{0xff, markSOS}))*blocks > maxBlockVisits
}

// costPNG: deflate compresses the rows to 1/1032 at best.
func costPNG(config image.Config, pixels int64) (cost, least int64) {
	held := int64(8) // most types are converted to RGBA
	switch model := config.ColorModel; model {
	case color.GrayModel:
		held = 1
	case color.Gray16Model:
		held = 3
	case color.NRGBA64Model, color.RGBA64Model:
		held = 12
	default:
		if _, ok := model.(color.Palette); ok {
			held = 5
		}
	}
	return pixels * (held + searching), pixels / 8 / 1032 // at least one bit per pixel
}
