// Package cashfree is the HTTP client of Cashfree Secure ID: one request per call, a typed answer, a class for every
// way it can end. Nothing else in kycq talks to the vendor.
//
// Invariants:
//
//   - One call is at most one request on the wire. The package never retries and never sleeps, and it is built so that
//     net/http does not replay a request either (see transport.go).
//   - NotSent means that the vendor cannot have seen a whole request. Where that is not certain the class is Lost.
//   - An image streams from its source into the request; it is never held in memory.
//   - Errors, messages and codes are fixed words or checked words. They hold no personal data, no link, no header value
//     and none of the vendor's prose, which can echo input or the caller's address. Body, Image and Passport of a Reply
//     are the sensitive parts, and a Reply prints without them.
//   - An image link is fetched over https from public addresses only, checked at dial time (see guard.go).
//
// It must not log, keep state between calls, decide what happens next, or know about queues, records and Redis.
//
// Where a comment says "vendor page", it means the vendor's reference pages "Aadhaar Masking" and "Verify Passport";
// "vendor OpenAPI" means the vendor's published description of the same two calls, which adds the codes.
package cashfree
