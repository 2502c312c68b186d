package maskcheck

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
)

// A picture is a decoded image and its form for storage.
type picture struct {
	// pixels are *image.Gray, *image.YCbCr or opaque *image.RGBA, with 8 bits a channel; only the brightness if file is set.
	pixels image.Image
	// file has these pixels and nothing else; nil if it is still to be encoded.
	file        []byte
	orientation byte
	jpeg        bool   // it came as JPEG, with colours that image/jpeg keeps
	cmyk        bool   // it came with the colours of print
	icc         []byte // the colour profile of the file; nil if it has none
}

// openPicture decodes an image, of a plain JPEG file without a colour profile only the brightness, which is all that is checked.
// Such a file is stripped, so the pixels that are checked are those of the file that is stored. All other files are encoded anew from the pixels.
func openPicture(ctx context.Context, body []byte, h header) (picture, error) {
	p := picture{}
	if h.ext == "jpg" {
		f, _ := parseJPEG(body)
		p.orientation, p.icc = f.orientation, f.icc
		if components, err := f.components(); err == nil {
			if bright, size, err := f.brightness(components, 8); err == nil {
				p.file = f.strip(components, size)
				if p.icc == nil {
					p.pixels = bright
					return p, nil
				}
				body = p.file
			}
		}
		if p.file == nil && costlyScans(body, h) {
			return picture{}, unsafe(TooBusy)
		}
	} else {
		p.orientation, p.icc = tiffOrientation(pngChunk(body, "eXIf")), pngProfile(body)
	}
	img, err := h.decode(&cancelledReader{ctx, bytes.NewReader(body)})
	if err != nil {
		if ctx.Err() != nil {
			return picture{}, ctx.Err()
		}
		return picture{}, unsafe(Undecodable)
	}
	_, p.cmyk = img.(*image.CMYK)
	p.pixels = plain(img)
	p.jpeg = h.ext == "jpg" && keepsColours(p.pixels)
	return p, nil
}

// cancelledReader ends with the context.
type cancelledReader struct {
	ctx context.Context //nolint:containedctx // it lives for one call of a decoder
	r   io.Reader
}

func (c *cancelledReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// plain converts an image to one of the types of picture.pixels. Transparent parts are laid on white and more than 8 bits a
// channel are dropped: what is not visible is not stored.
func plain(img image.Image) image.Image {
	switch src := img.(type) {
	case *image.Gray, *image.YCbCr:
		return img
	case *image.Gray16:
		out := image.NewGray(src.Rect)
		for i := range out.Pix {
			out.Pix[i] = src.Pix[2*i]
		}
		return out
	case *image.RGBA:
		if src.Opaque() {
			return src
		}
	}
	out := image.NewRGBA(image.Rectangle{Max: img.Bounds().Size()})
	draw.Draw(out, out.Rect, image.White, image.Point{}, draw.Src)
	draw.Draw(out, out.Rect, img, img.Bounds().Min, draw.Over)
	return out
}

// jpegQuality loses nothing visible of an image of any other quality: the PSNR is over 50 dB.
const jpegQuality = 99

// encode returns the file to store, with its extension and content type.
func (p *picture) encode() (file []byte, ext, contentType string, err error) {
	if p.file != nil {
		return p.file, "jpg", "image/jpeg", nil
	}
	var b bytes.Buffer
	if p.jpeg {
		if err := jpeg.Encode(&b, p.pixels, &jpeg.Options{Quality: jpegQuality}); err != nil {
			return nil, "", "", err
		}
		file = appendOrientation(append([]byte{}, b.Bytes()[:2]...), p.orientation)
		return append(file, b.Bytes()[2:]...), "jpg", "image/jpeg", nil
	}
	// A YCbCr image would be encoded pixel by pixel.
	if src, ok := p.pixels.(*image.YCbCr); ok {
		p.pixels = plainRGBA(src)
	}
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, p.pixels); err != nil {
		return nil, "", "", err
	}
	file = b.Bytes()
	if p.orientation > 1 {
		file = append([]byte{}, file[:endOfIHDR]...)
		file = appendChunk(file, "eXIf", exif(p.orientation))
		file = append(file, b.Bytes()[endOfIHDR:]...)
	}
	return file, "png", "image/png", nil
}

func plainRGBA(src *image.YCbCr) *image.RGBA {
	out := image.NewRGBA(image.Rectangle{Max: src.Rect.Size()})
	draw.Draw(out, out.Rect, src, src.Rect.Min, draw.Src)
	return out
}

// keepsColours reports whether image/jpeg, which halves the resolution of colours, loses none of an image's.
func keepsColours(img image.Image) bool {
	switch src := img.(type) {
	case *image.Gray:
		return true
	case *image.YCbCr:
		return src.SubsampleRatio == image.YCbCrSubsampleRatio420
	}
	return false
}

// endOfIHDR is where the first chunk of a PNG ends.
const endOfIHDR = 8 + 4 + 4 + 13 + 4

func appendChunk(out []byte, kind string, content []byte) []byte {
	out = binary.BigEndian.AppendUint32(out, uint32(len(content)))
	from := len(out)
	out = append(append(out, kind...), content...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[from:]))
}

// pngChunk returns the content of the first chunk of a kind; nil if there is none.
func pngChunk(body []byte, kind string) []byte {
	for at := len(pngStart); at+12 <= len(body); {
		end := int64(at) + 12 + int64(binary.BigEndian.Uint32(body[at:]))
		if end > int64(len(body)) {
			return nil
		}
		if string(body[at+4:at+8]) == kind {
			return body[at+8 : end-4]
		}
		at = int(end)
	}
	return nil
}
