// Package batch runs backfills: it keeps what a batch is in S3, feeds its rows into the bulk queue a few minutes at a
// time, and ends it with a report.
//
// A batch is a manifest in sealed parts and one small object, batch.json, changed by compare-and-swap alone (batches.go).
// Writing batch.json is the moment of acceptance. What happened to a row is told by its record and by nothing else.
//
// Redis only knows how far the feeding has come (board.go): a hash of counters with the cursor, half a byte per row, and
// the few rows whose id is in somebody else's hands. None of it stands in S3, and all of it can go: the feeder (feeder.go)
// that finds no hash begins the passes anew and reads the record of each row before it does anything with it
// (orders.go). So a row whose record is final is counted and not fed; one whose record is not final, or that has none, is
// fed again, which is harmless: a task is named by its id and run, and the worker asks the record. Once PartRows rows in
// a row had no record, the region that was never fed is reached, and rows are fed without a look. A batch that ended
// before leaves its counts in summary.json, from which a later retry goes on.
//
// Runs: pass 1 feeds every row; `batch retry` appends a pass with a list of rows and runs; `batch submit --amend` one
// over all rows, in which those that a cancel ended are run again. A pass begins when no row of the one before is open.
//
// Invariants: the cursor moves after the tasks of its rows stand in Redis; a row's id is in the open set before its task;
// at most maxOutstanding rows of a batch are in Redis; every change of a row's state is idempotent. The package must not
// decide what an answer means, and must not put anything personal into Redis, logs or the objects that are not sealed.
package batch
