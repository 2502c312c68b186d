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
	return append([]Finding{readReply(check, t.Vendor.Check(ctx))}, checkImages(t.Vendor.ImageRoute(ctx))...)
}

// checkImages says how image links are fetched, and whether the proxy connects to their hosts.
func checkImages(route cashfree.ImageRoute) []Finding {
	const check = "image-links"
	switch {
	case !route.Proxied && route.CallsProxied:
		return []Finding{warning(check, "calls go through a proxy (HTTPS_PROXY or HTTP_PROXY), but image links are fetched directly",
			"if this machine has no direct way out, set KYCQ_IMAGE_PROXY and KYCQ_IMAGE_HOSTS: else images are paid for and not fetched")}
	case !route.Proxied:
		return []Finding{fine(check, "fetched directly, without a proxy")}
	}
	var lines []Finding
	for _, h := range route.Hosts {
		if h.Err == nil {
			lines = append(lines, fine(check, "fetched through the proxy, which connects to "+h.Host))
			continue
		}
		lines = append(lines, failure(check, Unreachable, fmt.Sprintf("the proxy does not connect to %s: %s", h.Host, h.Err),
			"allow the host at the proxy, or correct KYCQ_IMAGE_PROXY (host, port, password) and KYCQ_IMAGE_HOSTS"))
	}
	return lines
}

// readReply interprets the answer to a request without fields, which Cashfree must reject.
func readReply(check string, r *cashfree.Reply) Finding {
	answered := fmt.Sprintf("HTTP status %d", r.HTTPStatus)
	if r.Foreign && r.HTTPStatus < 500 {
		r.Class = cashfree.Undocumented
	}
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
	case cashfree.Undocumented:
		return failure(check, Settings, answered+": this is not an answer that Cashfree documents",
			"check KYCQ_CASHFREE_URL (it ends in /verification), and the firewalls and proxies on the way")
	case cashfree.Valid, cashfree.Invalid, cashfree.Unexpected, cashfree.Unreadable, cashfree.Duplicate:
	}
	return failure(check, Settings, answered+" to a request without fields: this is not Cashfree's API", "correct KYCQ_CASHFREE_URL: it ends in /verification")
}
