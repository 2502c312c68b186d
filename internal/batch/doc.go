// Package batch runs backfills: it stores batches in S3, feeds their rows into the bulk queue a few minutes at a time, and
// writes a report when all rows have ended.
//
// # Where things are
//
//   - batch.go: Batch, which is batch.json. Writing it accepts the batch; later changes are compare-and-swaps.
//   - store.go, parts.go: Store reads and writes batches in S3; Parts reads and writes the sealed rows of one batch.
//   - row.go: Row, a row with the record of its verification_id, and RowState. Only the record decides how a row ended.
//   - progress.go: ProgressStore keeps counters, a cursor and four bits per row in Redis. Workers report rows to it.
//   - feeder.go: Feeder runs one asynq task per open batch. step.go, enqueue.go, stalled.go and finish.go are what a
//     delivery of that task does.
//   - queue.go: how many rows may be in the queue. pace.go: the present rate.
//   - control.go, status.go: what operators do, and what they see.
//
// # Losing Redis
//
// Nothing in Redis is the only copy. A marker in S3 makes each open batch found, and every three minutes the feeder looks for
// the tasks of all open rows (stalled.go), so a Redis that comes back older needs no detection. If the feeder finds no progress hash, it starts again at the first row and reads each
// row's record before it enqueues the row. A row with a final record is only counted. Any other row is enqueued again,
// which is harmless: a task is named by verification_id and run, and the worker reads the record first. After PartRows
// consecutive rows without a record, the feeder has reached rows that were never fed, and stops reading records. If the
// batch has ended before, its counts are restored from summary.json.
//
// # Runs
//
// The first run feeds every row. `batch retry` appends a run over the selected rows. `batch amend` appends a run over all
// rows; cancelled rows get the next run of their job. A run starts when the previous one has no open rows.
//
// # Invariants
//
// Progress.Fed moves before the tasks of its rows are in Redis, the cursor after. A cancelled batch reports a row as never
// called only if the row is beyond both and has no record of the batch. At
// most maxOutstanding rows of a batch are in the queue. Every change of a row's state is idempotent. The package must not
// interpret the vendor's answers, and must not write personal data to Redis, logs or unsealed objects.
package batch
