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

// Limits of an Aadhaar image.
const (
	// MaxImageBytes is the vendor's limit ("The maximum file size should be 10 MB"). It does not say whether that means
	// 10^7 or 2^20 bytes, so kycq accepts the larger and leaves the rest to the vendor.
	MaxImageBytes = 10 << 20
	// maxImagePixels is kycq's limit: a tiny file can make a decoder allocate gigabytes.
	maxImagePixels = 40_000_000
	// ImageHeadBytes is how much of an image ValidateImage needs in most cases: several EXIF blocks of 64 KiB can come
	// before a JPEG's dimensions.
	ImageHeadBytes = 256 << 10
)

// ImageInfo is what an image's header says.
type ImageInfo struct {
	ContentType   string // image/jpeg or image/png
	Ext           string // jpg or png
	Width, Height int    // pixels
}

// codeImageHeader can mean that more of the image is needed.
const codeImageHeader = "image_header_invalid"

// ValidateImage checks an Aadhaar image by its first bytes (all, or ImageHeadBytes) and its size: JPEG or PNG by content,
// at most MaxImageBytes, a readable header, at most maxImagePixels. The error is an *InvalidError. Its code is
// image_header_invalid also if head ends before the dimensions: then check again with more of the image.
func ValidateImage(head []byte, size int64) (ImageInfo, error) {
	invalid := func(code, format string, args ...any) (ImageInfo, error) {
		return ImageInfo{}, &InvalidError{Field: "image", Code: code, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case size == 0 || len(head) == 0:
		return invalid("image_empty", "is empty (0 bytes)")
	case size > MaxImageBytes:
		return invalid("image_too_large", "has %d bytes: Cashfree takes at most 10 MB", size)
	case bytes.HasPrefix(head, []byte("%PDF")):
		return invalid("image_is_pdf", "is a PDF (an e-Aadhaar?): Cashfree takes only JPEG and PNG, upload a photo or a scan of the card")
	}
	cfg, format, err := image.DecodeConfig(bytes.NewReader(head))
	info := ImageInfo{ContentType: "image/" + format, Ext: format, Width: cfg.Width, Height: cfg.Height}
	if format == "jpeg" {
		info.Ext = "jpg"
	}
	switch {
	case errors.Is(err, image.ErrFormat), format != "" && format != "jpeg" && format != "png": // a program may register more formats
		return invalid("image_type_invalid", "is neither JPEG nor PNG (its content decides, not its name)")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return invalid(codeImageHeader, "has a header that ends too early")
	case err != nil:
		return invalid(codeImageHeader, "has a header that cannot be read")
	case cfg.Width < 1 || cfg.Height < 1:
		return invalid(codeImageHeader, "has no pixels")
	case int64(cfg.Width)*int64(cfg.Height) > maxImagePixels:
		return invalid("image_too_many_pixels", "has %d x %d pixels: at most 40 megapixels are taken", cfg.Width, cfg.Height)
	}
	return info, nil
}

// ValidateImageFile is ValidateImage for a whole image, of which it reads no more than needed. It returns the size too.
// The error is an *InvalidError, or that of src. The position of src is undefined afterwards.
func ValidateImageFile(src io.ReadSeeker) (info ImageInfo, size int64, err error) {
	size, err = src.Seek(0, io.SeekEnd)
	if err != nil {
		return ImageInfo{}, 0, fmt.Errorf("read image: %w", err)
	}
	for n := int64(16 << 10); ; n *= 16 {
		n = min(n, size, MaxImageBytes)
		head := make([]byte, n)
		if _, err := src.Seek(0, io.SeekStart); err != nil {
			return ImageInfo{}, size, fmt.Errorf("read image: %w", err)
		}
		if _, err := io.ReadFull(src, head); err != nil {
			return ImageInfo{}, size, fmt.Errorf("read image: %w", err)
		}
		info, err = ValidateImage(head, size)
		var invalid *InvalidError
		if !errors.As(err, &invalid) || invalid.Code != codeImageHeader || n == size {
			return info, size, err
		}
	}
}
