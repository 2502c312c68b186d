package cashfree

import "context"

// Check asks the vendor whether it knows us, and for nothing else: a passport request without a single field, which
// cannot be charged. Rejected means that address, credentials and signature were accepted; Credentials and NotAllowed
// say which was not. It counts as one call of the vendor's rate.
func (c *Client) Check(ctx context.Context) *Reply {
	return c.call(ctx, verifyPassport, "", "application/json", &upload{prelude: []byte("{}")})
}
