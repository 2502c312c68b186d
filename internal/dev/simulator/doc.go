// Package simulator is a stateful twin of Cashfree Secure ID's two paid calls, Aadhaar masking and passport
// verification, as an http.Handler: it validates, limits, charges, uses up ids, fails on demand, and keeps a ledger.
// Tests, the demonstration and load runs call it in the vendor's place.
//
// The invariants:
//   - A charge stands in the ledger before the answer leaves, so no client that dies can hide one.
//   - A call is charged exactly when a 200 was decided, whatever a fault then does to the answer on its way out.
//   - A request that was refused with 401, 403 or 429 never uses up its verification_id.
//   - Memory is bounded, but for the set of ids that are used up: uploads spill to disk, decoding has a pixel budget,
//     the ledger is read back from its file.
//
// It must never be given real documents, and never stand where a stranger can reach it: the control paths under /_sim/
// ask for no credentials.
//
// # Order of precedence
//
// Cashfree lists its errors but not which one wins. The order here follows from who can know what: a gateway knows the
// address, then the account; only an account has a rate and a body worth reading; only a whole request has an id and a
// price. The first that applies is the answer:
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
//  11. faults 401, 403, 429 (here and not at their natural place, since a fault may name a verification_id)
//  12. 409 verification_id_already_exists; ids taken on arrival are taken now
//  13. 422 insufficient_balance
//  14. every other fault that stands in place of an answer
//  15. the decision, the charge; ids taken on success are taken now
//  16. the faults that spoil an answer that was paid for
//
// # Passport data
//
// The end of the file_number decides, so that a row of a CSV file says what will come of it:
//
//	...0000                                INVALID
//	...0001                                VALID, with another name
//	...0002                                VALID, with another date of birth
//	...0003                                VALID, with both different
//	not 1 to 20 letters and digits         INVALID
//	a dob that lies in the future          INVALID
//	anything else                          VALID, with the request's own name and dob
//
// A request without a name gets an invented one that is marked SPECIMEN.
package simulator
