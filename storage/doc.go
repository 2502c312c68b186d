// Package storage keeps kycq's durable state in S3: the record of every job, and the images.
//
// An app calls [Open], passes the [Store] as the Ledger of a tasks.Client, and calls [Store.UploadImage] for an Aadhaar
// image, [Store.Wait] for the [Result] of a job, and [Store.Masked] for a masked image. The methods that write records and
// images otherwise are for kycq's own workers and commands.
//
// Every write of a record is a conditional PUT (If-None-Match: * to create, If-Match to change): of several concurrent
// writers exactly one succeeds, and a writer whose response was lost can tell whether it was the one. Every call ends
// within a bounded time. Errors contain neither personal data nor image links.
package storage
