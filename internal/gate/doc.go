// Package gate controls every call to the vendor: hold, breaker, rate, in this order. All worker processes together use
// the vendor's limit and do not exceed it. The state of a kind is one hash in Redis, which two scripts read and write:
// lua/take.lua grants a slot, lua/report.lua records the outcome of the call.
//
// Rate. Slots are evenly spaced by Redis' clock, at a margin under the limit. The margin is 2 % at first and shrinks by
// 0.25 percentage points after each full minute without a 429, down to 0.5 %. A 429 doubles it, to at most 5 %, and for
// 24 h it does not go below the value that met the last 429. A new rate starts it anew.
//
//   - A slot is granted at most 150 ms ahead, and used on time or given back. On time is up to half the distance of two
//     slots late, or half the margin of a period if that is more, and at most 250 ms: every window has room for that.
//   - Until then a call has an estimate of its slot, which says when to ask, so that processes do not ask for the same
//     slot. An estimate reserves nothing, but bulk calls leave the estimated slots of live calls free.
//     Estimates of processes that have not asked for 4 s are void.
//   - In a process, the calls of a kind and lane wait in a queue; the first one asks. A 429 or a late slot costs no place.
//   - Live calls starve bulk calls if they use the whole limit.
//   - No slot is granted twice, even if Redis has lost its last seconds: after an error, or if the hash is gone, the next
//     slot is further ahead than any that can be in use. Instants from before the clock was set back are ignored.
//   - A 429 stops the kind in all processes for as long as the vendor says, at most 120 s. A lower X-RateLimit-Limit than
//     configured is obeyed.
//
// Breaker. Five failures in a row, of at least three jobs, open a kind's breaker for 30 s. Then one call, the half-open
// trial, decides: a failure doubles the time, to at most 5 min; an answer to any call of the kind closes the breaker.
//
// Hold. It stops every kind until an operator resumes; then test calls are made, one at a time: an answer to any call
// lifts the hold, a refusal restores it. The token of a test call or trial lasts 30 s longer than a call can take. It only
// paces them: the outcome of a call counts even if its token ran out.
//
// While the account is on hold or the breaker is open, Acquire does not wait but returns a ClosedError. The package does
// not retry. Kinds are strings, jobs are hashed, and no personal data is kept.
package gate
