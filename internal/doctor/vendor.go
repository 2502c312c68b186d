package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/kycq/kycq/internal/cashfree"
)

func checkVendor(ctx context.Context, t Target) []Finding {
	const check = "cashfree"
	switch {
	case t.VendorErr != nil:
		var lines []Finding
		for line := range strings.SplitSeq(t.VendorErr.Error(), "\n") {
			lines = append(lines, settingFailure(check, line))
		}
		return lines
	case t.Vendor == nil:
		return []Finding{skipped(check, "fix the settings first")}
	}
	return []Finding{readReply(check, t.Vendor.Check(ctx))}
}

// readReply interprets the answer to a request without fields, which Cashfree must reject.
func readReply(check string, r *cashfree.Reply) Finding {
	answered := fmt.Sprintf("HTTP status %d", r.HTTPStatus)
	switch r.Class {
	case cashfree.Rejected:
		if r.HTTPStatus == 404 {
			return failure(check, Settings, answered+": no such path", "correct KYCQ_CASHFREE_URL: it ends in /verification")
		}
		return fine(check, "reachable; credentials and IP are accepted")
	case cashfree.Credentials, cashfree.NotAllowed:
		return failure(check, Credentials, r.Message, r.NextAction)
	case cashfree.NoBalance:
		return failure(check, Balance, r.Message, r.NextAction)
	case cashfree.RateLimited:
		return warning(check, "reachable; credentials not checked: rate limit reached", "run kycq doctor again in a minute")
	case cashfree.NotSent:
		return failure(check, Unreachable, "Cashfree is unreachable: "+r.Err.Error(), "check the network, DNS and KYCQ_CASHFREE_URL")
	case cashfree.Lost, cashfree.SourceBroken:
		return failure(check, Unreachable, "Cashfree does not answer: "+r.Err.Error(), "check the network and KYCQ_CASHFREE_URL; try again later")
	case cashfree.OtherStatus:
		if r.HTTPStatus >= 500 {
			return warning(check, answered+": Cashfree fails, or the URL is wrong", "try again later; check KYCQ_CASHFREE_URL")
		}
	case cashfree.Valid, cashfree.Invalid, cashfree.Unexpected, cashfree.Duplicate:
	}
	return failure(check, Settings, answered+" to a request without fields: this is not Cashfree's API", "correct KYCQ_CASHFREE_URL: it ends in /verification")
}
