// Package worker processes jobs, from the delivery of a task to the final record. It is not for use by other modules: its
// API takes types of kycq's internal packages and may change at any time.
//
// Processor.Process takes one delivery and returns a Verdict. It runs a state machine; each step returns a transition to
// the next step or to the verdict:
//
//	claim  (claim.go)          read the record, act on its state, take over the call of a crashed worker
//	check  (check.go)          open the input; check size, type and dimensions of an image
//	call   (call.go)           acquire a permit from the gate, write the intent, make one request
//	record (record_answer.go)  write the answer into the record
//	mask   (mask.go)           fetch the masked image, check that it is masked, store it
//	finish (finish.go)         delete the upload, report the batch row, delete the marker of the run
//
// verdict.go has the table that maps each answer of Cashfree's to what kycq does. Server (server.go) runs asynq and maps
// verdicts to what asynq expects; the rest of the package does not depend on asynq, apart from QueuePause and
// ForgetInRedis. Sweeper (sweep.go) finds unfinished jobs that no task drives.
//
// Invariants:
//
//   - No request leaves before its intent is durable: the record in state sent, with the attempt.
//   - An answer is written even if the task's context has ended or its lease is lost.
//   - A record in state sent means that the answer is unknown.
//   - A task is acknowledged only if the record is final or a later run has begun.
package worker
