// Package maskcheck checks whether an image from the vendor may be stored as masked: it must be a JPEG or PNG within the
// size limits, differ from the source's bytes, have the shape of the source, and show no QR code, whether it can be read or
// not. It does not read digits, so it cannot check that they are covered.
//
// Invariants. An image is decoded only after its header was checked. All decoders of the process share one memory budget; a
// decoder holds its share until it has ended, even if its caller has stopped waiting. A panic in a decoder is reported as
// undecodable. QR codes are not decoded. The package does not log.
package maskcheck

// Limits of an image. Cashfree accepts at most 10 MB; a masked image may be larger after re-encoding.
const (
	MaxBytes  = 20 << 20
	MaxPixels = 40_000_000
)

// SourceInfo describes the image that was sent to be masked.
type SourceInfo struct {
	// SHA256 is in hex. If it is empty, it is not compared and the report asks for a review.
	SHA256 string
	// Width and Height are in pixels. If either is 0, they are not compared and the report asks for a review.
	Width, Height int
}

// Report describes an image that passed.
type Report struct {
	Width, Height int    // pixels
	ContentType   string // image/jpeg or image/png
	Ext           string // jpg or png
	// ReviewReason lists the Review constants, separated by commas, for which a person should look at the image.
	ReviewReason string
}

// Values of Report.ReviewReason.
const (
	// ReviewFinderPatterns: single finder patterns are visible, which may be parts of a QR code.
	ReviewFinderPatterns = "finder_patterns"
	// ReviewEmbeddedImage: the file contains a second image, such as a thumbnail or an animation frame, which was not
	// checked and may show the unmasked card.
	ReviewEmbeddedImage = "embedded_image"
	// ReviewSourceUnknown: the hash or dimensions of the source are unknown.
	ReviewSourceUnknown = "source_unknown"
)

// Code is the reason why an image must not be stored as masked.
type Code string

// The codes of an UnsafeError.
const (
	TooLarge      Code = "too_large"       // over MaxBytes
	TooManyPixels Code = "too_many_pixels" // over MaxPixels, or over what decoding may cost
	NotAnImage    Code = "not_an_image"    // neither JPEG nor PNG by content
	Undecodable   Code = "undecodable"     // malformed, truncated, or too short for its dimensions
	SameBytes     Code = "same_bytes"      // equal to the source
	Dimensions    Code = "dimensions"      // not the shape or size of the source
	VisibleQR     Code = "visible_qr"      // a QR code shows, readable or not
)

// UnsafeError means that an image must not be stored as masked. The code depends on the image only.
type UnsafeError struct{ Code Code }

func (e *UnsafeError) Error() string { return "mask check: " + string(e.Code) }

func unsafe(code Code) error { return &UnsafeError{Code: code} }
