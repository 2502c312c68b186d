// Package maskcheck checks whether an image from the vendor may be stored as masked: it must be a JPEG or PNG within the
// size limits, have the shape of the source, show the same as the source except for a covered region, cover the source's QR
// codes, and show no QR code itself, whether it can be read or not. It does not read digits, so it cannot check that it is
// they that are covered.
//
// If nothing was covered, the image passes with a review if the source was masked already: its writing is legible, crosses or an
// opaque bar cover digits, and no number of twelve digits, in three groups or without spaces, shows in it. Anything else may show
// a number that the check overlooks, so the image is refused.
//
// What is stored is made from the pixels that were checked: Check returns a file without metadata but an orientation,
// without a second image, hidden colours, a colour profile (colours are converted to sRGB) or trailing bytes.
//
// Invariants. An image is decoded only after its header was checked. All decoders of the process share one memory budget. The
// work for one image is bounded by counts, whatever it contains; no verdict depends on the speed of the machine. A panic in a
// decoder is reported as undecodable. QR codes are decoded by CheckReadable only. The package does not log.
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
	// Body is the file. If it is nil, the answer is not compared with it; the caller must not store such an image unseen.
	Body []byte `json:"-"`
}

// Report describes an image that passed.
type Report struct {
	File          []byte // to be stored: the checked pixels and nothing else
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
	// ReviewUnreadableQR: a QR code is visible, and CheckReadable could not read it.
	ReviewUnreadableQR = "unreadable_qr"
	// ReviewColourProfile: the colours are stored as they are, without a colour profile from which they cannot be converted.
	ReviewColourProfile = "colour_profile"
	// ReviewSourceUnknown: the hash or dimensions of the source are unknown.
	ReviewSourceUnknown = "source_unknown"
	// ReviewAlreadyMasked: nothing was masked, since the source shows a mask and no number.
	ReviewAlreadyMasked = "already_masked"
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
	NothingMasked Code = "nothing_masked"  // the answer shows all that the source shows, which may be a number
	NotComparable Code = "not_comparable"  // the answer shows something else than the source, or a crop of it
	SourceGone    Code = "source_gone"     // the source was deleted or replaced since it was sent
	TooBusy       Code = "too_busy"        // a check would take too much work: thousands of patterns like those of a QR code
)

// UnsafeError means that an image must not be stored as masked. The code depends on the image only.
type UnsafeError struct{ Code Code }

func (e *UnsafeError) Error() string { return "mask check: " + string(e.Code) }

func unsafe(code Code) error { return &UnsafeError{Code: code} }
