package cashfree

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/kycq/kycq/internal/redact"
)

// Class is the result of a call. Every call has exactly one.
type Class string

const (
	// Valid means 200 with status VALID and our id, and for Aadhaar an image_link.
	Valid Class = "valid"
	// Invalid means 200 with status INVALID or INVALID_DOCUMENT and our id.
	Invalid Class = "invalid"
	// Unexpected means 200 with a status field, but for example with another status, another id or no link. It may have been
	// charged.
	Unexpected Class = "unexpected"
	// Unreadable means any other 2xx, for example a page of HTML. It may have been charged.
	Unreadable Class = "unreadable"
	// Credentials means that the vendor refuses the credentials: a documented 401, or 400 about x-client-id or x-client-secret.
	Credentials Class = "credentials"
	// NotAllowed means a documented 403. The caller's address is not whitelisted, or the signature is missing.
	NotAllowed Class = "not_allowed"
	// NoBalance means 422 insufficient_balance.
	NoBalance Class = "no_balance"
	// Rejected means an answer about this request only: other 400 and 422, 404 in the vendor's form, 413.
	Rejected Class = "rejected"
	// Duplicate means 409, the verification_id was used before.
	Duplicate Class = "duplicate"
	// RateLimited means 429.
	RateLimited Class = "rate_limited"
	// Undocumented means 401 or 403 with an unknown code, or any status but 2xx, 400, 409, 413, 422, 429 and 5xx that is not in
	// the vendor's form: it may come from a firewall, a proxy or another server. Nothing was charged.
	Undocumented Class = "undocumented"
	// OtherStatus means every other status, for example 500, 502, 503, 504. The caller decides by HTTPStatus.
	OtherStatus Class = "other_status"
	// NotSent means that no complete request can have reached the vendor. Name lookup, dial or TLS failed, or ctx had ended.
	NotSent Class = "not_sent"
	// Lost means that the request may have arrived, but no complete answer was received. It may have been charged.
	Lost Class = "lost"
	// SourceBroken means that the image source failed during the request (see Err), so the vendor received an incomplete request.
	// Treat it as Lost.
	SourceBroken Class = "source_broken"
)

// Classes lists all classes.
func Classes() []Class {
	return []Class{
		Valid, Invalid, Unexpected, Unreadable, Credentials, NotAllowed, NoBalance, Rejected, Duplicate, RateLimited,
		Undocumented, OtherStatus, NotSent, Lost, SourceBroken,
	}
}

// Answered reports whether a complete answer was received.
func (c Class) Answered() bool { return c != NotSent && c != Lost && c != SourceBroken }

// Reply is the result of a call. It prints, logs and marshals as class, status, code and duration only.
type Reply struct {
	Class Class
	// HTTPStatus is 0 if no answer began. It is set on Lost if the answer was interrupted.
	HTTPStatus int
	// Code is the vendor's code in lower case if it has the form of a code. If the answer has none, it is the code that the
	// vendor OpenAPI has for the message, or empty. It is safe to store and show.
	Code string
	// Message and NextAction are fixed texts, after the tables of the vendor pages. They are empty for Valid and without an
	// answer. They are safe to store and show.
	Message    string
	NextAction string
	// Foreign marks an answer that is not in the vendor's form, for example one from a proxy: an error without type, code and
	// documented message, or an Unexpected 200 without any id. It does not show that the vendor has processed the request.
	Foreign bool
	// Body is the answer as received, at most 1 MiB, of an error 64 KiB; nil without a complete answer. It is sensitive.
	Body []byte
	// ReferenceID is the vendor's id of the check, or 0.
	ReferenceID int64
	// Image is the image_link of a Valid Aadhaar answer: a bearer link of unknown lifetime.
	Image redact.Secret
	// Passport is set on a Valid or Invalid passport answer.
	Passport *PassportAnswer
	Rate     Rate
	// Err is nil if there is a complete answer. errors.Is finds context errors, system call errors and the error of the
	// image source.
	Err      error
	Duration time.Duration
}

func (r Reply) String() string {
	return fmt.Sprintf("class=%s status=%d code=%q duration=%s", r.Class, r.HTTPStatus, r.Code, r.Duration)
}

// Format covers every verb; %+v would print Body.
func (r Reply) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, r.String()) }

// MarshalText covers encoding/json and zerolog.
func (r Reply) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// LogValue covers log/slog.
func (r Reply) LogValue() slog.Value { return slog.StringValue(r.String()) }
