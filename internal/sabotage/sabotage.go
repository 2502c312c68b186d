// Package sabotage lets tests break kycq on purpose: end the process at a named step of a job, or leave out one of the
// precautions, to prove that the fault tests would notice. Only a build with the tag `sabotage` can be broken; in every
// other build the calls compile to nothing.
package sabotage

// Step names a moment in the life of a job at which a worker may be killed.
type Step string

// The steps, in the order in which a job meets them.
const (
	Claimed      Step = "claimed"       // the record was read, nothing was written
	InputChecked Step = "input-checked" // before the gate
	GatePassed   Step = "gate-passed"   // a slot is taken, the record does not say sent yet
	SentWritten  Step = "sent-written"  // the intent is durable, nothing has left
	Answered     Step = "answered"      // the reply is in memory only
	AnswerKept   Step = "answer-kept"   // the answer is in the record
	MaskedStored Step = "masked-stored" // the image is stored, the record is not final
	FinalWritten Step = "final-written" // the record is final, the tail has not run
	TailDone     Step = "tail-done"     // only the acknowledgement is missing
)

// Accepted is a step of a producer: the record is durable, the task is not in Redis yet.
const Accepted Step = "accepted"

// Steps lists every step of a worker.
func Steps() []Step {
	return []Step{Claimed, InputChecked, GatePassed, SentWritten, Answered, AnswerKept, MaskedStored, FinalWritten, TailDone}
}

// Mutation names a precaution that can be left out.
type Mutation string

// The precautions that fault tests must notice the lack of.
const (
	SkipCompareAndSwap Mutation = "skip-compare-and-swap" // records are overwritten without a condition
	SkipContextCheck   Mutation = "skip-context-check"    // a call leaves although the lease is lost
	SkipSent           Mutation = "skip-sent"             // the intent is not written before the call
	SkipAnswered       Mutation = "skip-answered"         // the answer is not written before the image is fetched
	SkipTakeoverAge    Mutation = "skip-takeover-age"     // a sent record is taken over at once
	SkipFinalCheck     Mutation = "skip-final-check"      // a final record is worked on again
	SkipKeptAnswer     Mutation = "skip-kept-answer"      // an answer that S3 does not take is dropped
	SkipOpenSet        Mutation = "skip-open-set"         // nothing finds the records that no task drives
	SkipHold           Mutation = "skip-hold"             // a refusal of the account does not stop the fleet
	CountWaits         Mutation = "count-waits"           // answers that are no attempt are counted as attempts
	FreshIDOnConflict  Mutation = "fresh-id-on-conflict"  // a lost answer is bought again without being asked to
	PlainPayload       Mutation = "plain-payload"         // payloads are not sealed
)
