// Package tasks enqueues KYC checks. A [Job] names what to check: an Aadhaar image in S3, or the fields of a passport. A
// [Client] validates it, encrypts the input, and hands it to kycq's workers.
//
// Enqueue first writes the job's record to the [Ledger] (in S3, with state queued), then its task to Redis. A job is
// accepted once its record exists; Redis only delivers it. Enqueue may be repeated: the same verification_id with the same
// input is the same job, and with another input an error. For the result, see package storage (Store.Wait).
//
// The input is encrypted before it reaches the ledger or Redis. Errors name fields, never their values.
//
// [JobSpec], the Encode, Decode and Binding functions, [Client.Prepare] and [Client.Push] are for kycq's own workers and
// batches; apps do not need them.
package tasks
