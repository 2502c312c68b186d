package worker

import "github.com/kycq/kycq/internal/cashfree"

// KnownCode tells whether a code or reason is one of the finite vocabulary of kycq and of Cashfree's documentation. What
// is not may come from outside, and is fit for the record alone: not for a label or a page that shows error texts.
func KnownCode(code string) bool {
	_, explained := adviceByCode[code]
	return explained || plainCodes[code] || cashfree.Documented(code)
}

// plainCodes are the codes and reasons that come without an advice of their own.
var plainCodes = map[string]bool{
	// Ends, whose advice is the vendor's.
	"invalid_document": true, "invalid_passport": true, "insufficient_balance": true, "ip_validation_failed": true,
	"authentication_failed": true, "file_size_exceeded": true, "request_rejected": true,
	// Reasons why a delivery goes back.
	"held": true, "breaker": true, "probing": true, "deadline_too_close": true, "call_in_flight": true, "record_contended": true,
	"previous_run_open": true, "different_input": true, "storage_unreachable": true, "redis_unreachable": true,
	"mask_check_unreachable": true, "call_limit_reached": true, "superseded": true, "image_not_fetched": true, "panic": true, "payload_version": true,
	// The feeder's.
	"internal_error": true, "feed_continues": true,
}
