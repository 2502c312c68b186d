package cashfree

import "strings"

// undescribed are codes of the vendor OpenAPI that need no row of their own in rules: their status says it all.
var undescribed = []string{
	"internal_error", "verification_failed", "too_many_requests_per_operation", "too_many_requests_per_ip",
	"too_many_requests", "rate_limit_error",
}

var documented = func() map[string]bool {
	codes := map[string]bool{}
	for _, r := range rules {
		if !strings.HasSuffix(r.code, "*") {
			codes[r.code] = true
		}
	}
	for _, code := range undescribed {
		codes[code] = true
	}
	delete(codes, "")
	return codes
}()

// Documented tells whether the vendor's documentation names a code. Another one may look like a code and still hold
// anything that the vendor has put there: it belongs into the record and not into a metric's label.
func Documented(code string) bool { return documented[code] }

// Classes lists how a call can end.
func Classes() []Class {
	return []Class{
		Valid, Invalid, Unexpected, Credentials, NotAllowed, NoBalance, Rejected, Duplicate, RateLimited, OtherStatus,
		NotSent, Lost, SourceBroken,
	}
}
