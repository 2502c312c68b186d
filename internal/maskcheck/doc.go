// Package maskcheck proves, as far as a program can, that an image which came back as masked is fit to be kept among
// the masked ones: it is a JPEG or PNG of sane size, not the source's bytes, shaped like the source, and shows no QR
// code that can be read. It cannot prove that the digits are covered; nothing here reads digits.
//
// Invariants. Nothing is decoded before its header was judged. All images that are decoded at one time share one budget
// of memory for the whole process, and the budget is given back when a decoder has really ended, not when its caller
// stopped waiting. A panic in a decoder is an answer (undecodable), never a crash. What a QR code says is dropped at
// once: it appears in no error and no report, and the package does not log.
//
// Whether an unsafe image is quarantined, and what becomes of the job, is the caller's business.
package maskcheck

import "fmt"

// The limits of an image. Cashfree takes at most 10 MB; its answer may be somewhat larger, as an answer's body is
// limited to 20 MB where it is fetched.
const (
	MaxBytes  = 20 << 20
	MaxPixels = 40_000_000
)

// SourceInfo describes the image that was sent to be masked.
type SourceInfo struct {
	// SHA256 is the source's hash in hex. Where it is empty the comparison is left out and the report asks for a review.
	SHA256 string
	// Width and Height are the source's, in pixels. Where either is 0 the comparison is left out, with a review too.
	Width, Height int
}

// Report describes an image that passed.
type Report struct {
	Width, Height int    // pixels
	ContentType   string // image/jpeg or image/png
	Ext           string // jpg or png
	// ReviewReason asks a person to look at the image: one or more of the Review words, separated by commas; empty where
	// nothing is odd.
	ReviewReason string
}

// The words of Report.ReviewReason.
const (
	// ReviewFinderPatterns: parts of a QR code show, but it cannot be read.
	ReviewFinderPatterns = "finder_patterns"
	// ReviewEmbeddedImage: the file holds a second image, such as a camera's thumbnail or an animation's frame, which
	// may show the card unmasked and was not searched.
	ReviewEmbeddedImage = "embedded_image"
	// ReviewSourceUnknown: the source's hash or dimensions were not given.
	ReviewSourceUnknown = "source_unknown"
)

// Code says why an image is unsafe to keep as masked.
type Code string

// The codes of an UnsafeError.
const (
	TooLarge      Code = "too_large"       // over MaxBytes
	TooManyPixels Code = "too_many_pixels" // over MaxPixels, or over what decoding may cost
	NotAnImage    Code = "not_an_image"    // neither JPEG nor PNG by content
	Undecodable   Code = "undecodable"     // broken, cut short, or too short for the pixels that it announces
	SameBytes     Code = "same_bytes"      // the source, byte for byte
	Dimensions    Code = "dimensions"      // another shape or size than the source
	ReadableQR    Code = "readable_qr"     // a QR code can still be read
)

var meanings = map[Code]string{
	TooLarge:      "the file is larger than a masked image may be",
	TooManyPixels: "the image has more pixels than may be decoded",
	NotAnImage:    "the content is neither JPEG nor PNG",
	Undecodable:   "the image cannot be decoded",
	SameBytes:     "the image is the unmasked source itself",
	Dimensions:    "the image is not shaped like its source",
	ReadableQR:    "a QR code can still be read",
}

// UnsafeError says that an image must not be stored as masked. The same image always gives the same code.
type UnsafeError struct{ Code Code }

func (e *UnsafeError) Error() string {
	return fmt.Sprintf("mask check: %s: %s", e.Code, meanings[e.Code])
}

func unsafe(code Code) error { return &UnsafeError{Code: code} }
