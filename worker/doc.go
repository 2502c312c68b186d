// Package worker is what happens to a job between its delivery and its final record.
//
// The core knows nothing of asynq: Processor.Process takes one delivery and gives a Verdict. It is a small machine of
// steps, and each row of the table "Cashfree's answer → what kycq does" stands in verdict.go alone:
//
//	claim (claim.go)   read the record, act by its state, take over what a dead worker left
//	check (check.go)   open the input; size, type and dimensions of the image
//	call  (call.go)    pass the gate, write the intent, one request, its answer into memory
//	settle (settle.go) the answer's ruling into the record: final, answered, waiting
//	mask  (mask.go)    fetch the masked image, prove that it is masked, store it
//	finish (finish.go) what may be repeated: the upload, the batch's row, the open set
//
// Invariants: no call leaves before its intent is durable in the record; an answer in hand is written even when the task,
// the lease or the process's time is gone; a record in state sent means that the answer is not known; only a final record
// or a superseded run is acknowledged. The server (server.go) turns verdicts into what asynq wants and must not decide
// anything itself.
package worker
