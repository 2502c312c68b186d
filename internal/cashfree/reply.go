package cashfree

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/kycq/kycq/internal/redact"
)

// Class is how a call ended. Every call ends in exactly one.
type Class string

const (
	// Valid is 200 with status VALID and our id; for Aadhaar with an image_link too.
	Valid Class = "valid"
	// Invalid is 200 with status INVALID or INVALID_DOCUMENT and our id.
	Invalid Class = "invalid"
	// Unexpected is any other 200: another status, another id, no link, not JSON. It may have been charged.
	Unexpected Class = "unexpected"
	// Credentials is 401, or 400 about x-client-id or x-client-secret.
	Credentials Class = "credentials"
	// NotAllowed is 403: the caller's address is not whitelisted, or the signature is missing.
	NotAllowed Class = "not_allowed"
	// NoBalance is 422 insufficient_balance.
	NoBalance Class = "no_balance"
	// Rejected is an answer about this one request: 400 otherwise, 404, 413, 422 otherwise.
	Rejected Class = "rejected"
	// Duplicate is 409: the verification_id was used before.
	Duplicate Class = "duplicate"
	// RateLimited is 429.
	RateLimited Class = "rate_limited"
	// OtherStatus is every other status: 500, 502, 503, 504, 3xx ... The caller decides by HTTPStatus.
	OtherStatus Class = "other_status"
	// NotSent means that no whole request can have reached the vendor: name lookup, dial, TLS, or ctx was done before.
	NotSent Class = "not_sent"
	// Lost means that the request may have arrived and no whole answer came back. It may have been charged.
	Lost Class = "lost"
	// SourceBroken means that our image source failed while the request was on its way. The vendor saw a request that
	// ends too early; treat it as Lost, and the source's error (in Err) as ours to mend.
	SourceBroken Class = "source_broken"
)

// Answered tells whether the vendor's whole answer was received.
func (c Class) Answered() bool {
	switch c {
	case NotSent, Lost, SourceBroken:
		return false
	}
	return true
}

// Reply is how one call ended. It prints, logs and marshals as class, status, code and duration only.
type Reply struct {
	Class Class
	// HTTPStatus is 0 where no answer began; it can be set on Lost, where an answer began and broke off.
	HTTPStatus int
	// Code is the vendor's code in lower case, if it looks like one; where the answer has none, the code that the
	// vendor OpenAPI gives for the answer's message; else empty. It is safe to store and show.
	Code string
	// Message and NextAction are our own fixed words for the answer, after the vendor pages' tables; empty for Valid and
	// where there was no answer. They are safe to store and show.
	Message    string
	NextAction string
	// Body is the answer as received, at most 1 MiB. It is sensitive; nil where there was no whole answer.
	Body []byte
	// ReferenceID is the vendor's number for the check; 0 where the answer has none.
	ReferenceID int64
	// Image is the image_link of a Valid Aadhaar answer: a bearer link, of unknown lifetime.
	Image redact.Secret
	// Passport is set on a Valid or Invalid passport answer.
	Passport *PassportAnswer
	Rate     Rate
	// Err says why there is no whole answer; nil where there is one. errors.Is finds context errors, system call
	// errors and the image source's error in it.
	Err error
	// Duration is the whole call's, on our side.
	Duration time.Duration
}

// settle takes over what classify found.
func (r *Reply) settle(f finding) {
	r.Class, r.Code, r.Message, r.NextAction = f.class, f.code, f.message, f.nextAction
	r.ReferenceID, r.Image, r.Passport = f.referenceID, f.image, f.passport
}

func (r Reply) String() string {
	return fmt.Sprintf("class=%s status=%d code=%q duration=%s", r.Class, r.HTTPStatus, r.Code, r.Duration)
}

// Format covers every verb: %+v would print Body.
func (r Reply) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, r.String()) }

// MarshalText makes encoding/json and zerolog's Interface print what String prints.
func (r Reply) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// LogValue makes log/slog print what String prints.
func (r Reply) LogValue() slog.Value { return slog.StringValue(r.String()) }
