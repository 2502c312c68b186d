// Package storage keeps kycq's durable state in S3: the record of every job, the images, and the objects of batches and of
// the audit trail.
//
// An app needs few of its names. [Open] makes a [Store]. The Store is the Ledger of a tasks.Client. [Store.UploadImage]
// uploads an Aadhaar image, [Store.Wait] waits for the [Result] of a job, [Store.Masked] reads a masked image. The other
// methods serve kycq's own commands and workers.
//
// Every write of a record is a conditional PUT (If-None-Match: * to create, If-Match to change) with a random write_id: of
// several concurrent writers exactly one succeeds, and a writer whose response was lost can tell whether it was the one.
// Only keys of the layout (layout.go) are touched. Every call ends within a bounded time, and the SDK's retryer is the only
// retry layer. Errors contain neither personal data nor image links.
package storage
