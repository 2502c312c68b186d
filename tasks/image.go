package tasks

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // registers the header reader
	_ "image/png"  // registers the header reader
	"io"
)

// Limits of an Aadhaar image. 10 MB is the vendor's ("The maximum file size should be 10 MB"); it does not say whether
// that means 10^7 or 2^20 bytes, so kycq takes the larger and lets the vendor refuse the rest. The pixel limit is kycq's:
// a tiny file can ask a decoder for gigabytes.
const (
	MaxImageBytes  = 10 << 20
	MaxImagePixels = 40_000_000
	// ImageHeadBytes is how much of an image ValidateImage wants to see: EXIF blocks of 64 KiB each may stand before a
	// JPEG's dimensions.
	ImageHeadBytes = 256 << 10
)

// ImageInfo is what an image's header says.
type ImageInfo struct {
	ContentType   string // image/jpeg or image/png
	Ext           string // jpg or png
	Width, Height int    // pixels
}

// ValidateImage checks an Aadhaar image by its first bytes (all of it, or ImageHeadBytes of it) and its whole length:
// JPEG or PNG by content, at most MaxImageBytes, a header that can be read, at most MaxImagePixels. The error is an
// *InvalidError.
func ValidateImage(head []byte, size int64) (ImageInfo, error) {
	invalid := func(code, format string, args ...any) (ImageInfo, error) {
		return ImageInfo{}, &InvalidError{Field: "image", Code: code, Message: fmt.Sprintf(format, args...)}
	}
	if size == 0 || len(head) == 0 {
		return invalid("image_empty", "is empty (0 bytes)")
	}
	if size > MaxImageBytes {
		return invalid("image_too_large", "has %d bytes: Cashfree takes at most 10 MB", size)
	}
	if bytes.HasPrefix(head, []byte("%PDF")) {
		return invalid("image_is_pdf", "is a PDF (an e-Aadhaar?): Cashfree takes only JPEG and PNG, upload a photo or a scan of the card")
	}
	cfg, format, err := image.DecodeConfig(bytes.NewReader(head))
	switch {
	case errors.Is(err, image.ErrFormat), format != "" && format != "jpeg" && format != "png": // a program may know more formats
		return invalid("image_type_invalid", "is neither JPEG nor PNG (its content decides, not its name)")
	case err != nil && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)):
		return invalid("image_header_invalid", "has a header that ends too early")
	case err != nil:
		return invalid("image_header_invalid", "has a header that cannot be read")
	case cfg.Width < 1 || cfg.Height < 1:
		return invalid("image_header_invalid", "has no pixels")
	case int64(cfg.Width)*int64(cfg.Height) > MaxImagePixels:
		return invalid("image_too_many_pixels", "has %d x %d pixels: at most 40 megapixels are taken", cfg.Width, cfg.Height)
	}
	if format == "jpeg" {
		return ImageInfo{ContentType: "image/jpeg", Ext: "jpg", Width: cfg.Width, Height: cfg.Height}, nil
	}
	return ImageInfo{ContentType: "image/png", Ext: "png", Width: cfg.Width, Height: cfg.Height}, nil
}
