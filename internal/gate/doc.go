// Package gate is the one place that every call to the vendor passes: hold, breaker, rate, in this order. It makes all
// worker processes together spend the vendor's limit, and not one call more.
//
// # Rate
//
// The calls of a kind leave one after the other at even distances, a little longer than the vendor's limit asks for.
// Their moments, the slots, are reserved in Redis by its own clock (lua/take.lua) and waited out in the process, where
// x/time/rate keeps calls apart whatever the clocks do. Invariants:
//
//   - A process holds at most two slots. What it held when it died is lost to the fleet, no more.
//   - A slot is used on time or not at all: one that is late comes too close to the next.
//   - A bulk caller gets its slot shortly before it is due. Until then it has a turn, which is not a slot: it says when
//     to ask, so that a waiting process asks once for a slot and not all the time.
//   - Whatever Redis forgets, slots given out after it keep clear of those given out before: processes bring back the
//     newest they know, and after an error ask for one behind everything that can be out.
//   - An idle process asks Redis nothing.
//
// Live calls take the next free slot, and one is kept for each process in which more of them wait; bulk calls that had
// their turn go to the end of the line. So a live call waits for the slots that were already given out, at most three.
// There is no aging rule: live callers are people, and live traffic at the limit starves bulk until somebody buys a
// higher limit. A share kept for bulk would make them wait to hide that; Status shows it instead. Within a lane and a
// process callers leave in the order in which they came; one that a 429 turned back keeps its place.
//
// The vendor's words are obeyed: a 429 silences the kind in the whole fleet for as long as it says (at most 120 s) and
// lowers the pace by half a percent, more if it goes on, which creeps back; so does X-RateLimit-Remaining 0, without
// lowering the pace; a lower X-RateLimit-Limit than configured is kept. Headers that show how much is left let the fleet
// go closer to the limit. See lua/pace.lua for the numbers.
//
// # Breaker and hold
//
// Five failures in a row, of at least three jobs, open a kind's breaker for 30 s; then one call finds out (its token
// lasts 60 s), and each failed probe doubles the rest, up to 5 min. The hold stops every kind until a person resumes;
// then, too, one call finds out. Nobody waits at a closed gate: Acquire returns a ClosedError and the job goes back.
//
// The hold is one key of the account (lua/hold.lua). Each kind carries a mark of it, so that the script that gives slots
// sees it without a second key; a mark without a hold heals itself.
//
// # Cost
//
// One command for a call, two at worst: news for the fleet goes with the next request for slots, unless it must be known
// at once. Those are also published (news.go); a message that is lost delays things by at most 15 s.
//
// The package must not know what is called or why: kinds are strings, jobs are hashed, and nothing personal passes
// through it. It never retries: what fails goes to the caller.
package gate
