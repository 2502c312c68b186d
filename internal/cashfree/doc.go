// Package cashfree is the HTTP client of Cashfree Secure ID. A call returns a Reply with a typed answer and a Class. No other
// package calls the vendor.
//
// Invariants:
//
//   - One call sends at most one request. The package never retries, and prevents net/http from replaying a request (see
//     transport.go).
//   - NotSent means that the vendor cannot have received a complete request. If that is not certain, the class is Lost.
//   - Images stream from their source into the request; they are not held in memory.
//   - Errors, messages and codes are fixed or validated text without personal data, links, header values or the vendor's
//     messages, which can echo input or the caller's address. Body, Image and Passport of a Reply are sensitive; printing
//     a Reply omits them.
//   - Image links are fetched over https from public addresses only, checked at dial time (see guard.go).
//
// The package does not log and keeps no state between calls.
//
// In comments, "vendor page" means the vendor's reference pages "Aadhaar Masking" and "Verify Passport"; "vendor OpenAPI"
// means the vendor's OpenAPI description of the two calls, which adds the codes.
package cashfree
