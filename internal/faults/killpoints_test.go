package faults

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
