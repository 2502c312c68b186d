// Package tasks is what producers and workers share: kinds, lanes, jobs, their validation, the sealed payload that
// travels through Redis, and the Client that apps use to hand a job in.
//
// A job is accepted once it stands in the Ledger (its record in S3, state queued); Redis only delivers. So Enqueue writes
// the record first and the task second, and may be repeated at will: the same verification_id with the same input is the
// same job, the same id with another input is an error.
//
// Nothing personal leaves this package readable: the input is sealed before it reaches the ledger or Redis, and errors
// name fields, never their values.
package tasks
