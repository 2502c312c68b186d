// Package simulator simulates the two paid calls of Cashfree Secure ID, Aadhaar masking and passport verification, as an
// http.Handler with state: it validates, limits and charges calls, tracks used ids, injects faults and writes a ledger.
// Tests, the demo and load runs use it in place of the vendor.
//
// Invariants:
//   - A charge is in the ledger before the answer is sent.
//   - A call is charged if and only if a 200 was decided, whatever a fault does to the answer afterwards.
//   - A request refused with 401, 403 or 429 does not use up its verification_id.
//   - Memory is bounded, except for the set of used ids: uploads spill to disk, decoding has a pixel budget, the ledger is
//     read from its file.
//
// It must not be given real documents and must not be publicly reachable: the control paths under /_sim/ need no
// credentials.
//
// # Order of precedence
//
// Cashfree documents its errors but not their precedence. The order assumed here is that of a gateway, which checks the
// address, then the account, then the rate, then the body. The first that applies is the answer:
//
//  1. 404, 405: no such call
//  2. 429 too_many_requests_per_ip
//  3. 400 x-client-id_missing, then x-client-secret_missing
//  4. 400 x-client-secret_value_invalid: a secret of the test environment that is not the account's own
//  5. 401 authentication_failed
//  6. 403 authentication_failed: the signature, where the account has a key
//  7. 403 ip_validation_failed
//  8. 429 too_many_requests_per_operation
//  9. 413, from Content-Length before a byte is read, else while reading
//  10. 400 for the fields: verification_id (missing, characters, length), then image (missing, type) or body, file_number,
//     dob (missing, form)
//  11. faults 401, 403, 429 (here, since a fault may be for one verification_id)
//  12. 409 verification_id_already_exists; ids taken on arrival are taken now
//  13. 422 insufficient_balance
//  14. every other fault that replaces the answer
//  15. the decision, the charge; ids taken on success are taken now
//  16. faults of a charged answer
//
// # Passport data
//
// The end of the file_number decides:
//
//	...0000                                INVALID
//	...0001                                VALID, with another name
//	...0002                                VALID, with another date of birth
//	...0003                                VALID, with both different
//	not 1 to 20 letters and digits         INVALID
//	a dob in the future                    INVALID
//	anything else                          VALID, with the name and dob of the request
//
// If the request has no name, the answer has an invented one marked SPECIMEN.
package simulator
