package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/kycq/kycq/internal/cashfree"
)

func checkVendor(ctx context.Context, p Patient) []Finding {
	const check = "cashfree"
	switch {
	case p.VendorErr != nil:
		var lines []Finding
		for line := range strings.SplitSeq(p.VendorErr.Error(), "\n") {
			lines = append(lines, broken(check, line))
		}
		return lines
	case p.Vendor == nil:
		return []Finding{skipped(check, "the settings come first")}
	}
	return []Finding{readReply(check, p.Vendor.Check(ctx))}
}

// readReply reads the answer to a request that asks for nothing: being told so is the good case.
func readReply(check string, r *cashfree.Reply) Finding {
	answered := fmt.Sprintf("it answered HTTP status %d", r.HTTPStatus)
	switch r.Class {
	case cashfree.Rejected:
		if r.HTTPStatus == 404 {
			return failure(check, Settings, answered+": there is no such address", "correct KYCQ_CASHFREE_URL: it ends in /verification")
		}
		return fine(check, "reachable; credentials and address are accepted")
	case cashfree.Credentials, cashfree.NotAllowed:
		return failure(check, Credentials, r.Message, r.NextAction)
	case cashfree.NoBalance:
		return failure(check, Balance, r.Message, r.NextAction)
	case cashfree.RateLimited:
		return fine(check, "reachable; it has no time to look at the credentials, since its rate is used up")
	case cashfree.NotSent:
		return failure(check, Unreachable, "Cashfree cannot be reached: "+r.Err.Error(), "look at the network, DNS and KYCQ_CASHFREE_URL")
	case cashfree.Lost, cashfree.SourceBroken:
		return failure(check, Unreachable, "Cashfree does not answer: "+r.Err.Error(), "look at the network and KYCQ_CASHFREE_URL; try again after some time")
	case cashfree.OtherStatus:
		if r.HTTPStatus >= 500 {
			return warning(check, answered+": it is not well, or the address is wrong", "try again after some time; check KYCQ_CASHFREE_URL")
		}
	case cashfree.Valid, cashfree.Invalid, cashfree.Unexpected, cashfree.Duplicate:
	}
	return failure(check, Settings, answered+" to a request that asks for nothing: this is not Cashfree's API", "correct KYCQ_CASHFREE_URL: it ends in /verification")
}
