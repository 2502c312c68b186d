// Package storage keeps everything that must survive in S3-compatible object storage: the record of every job, the
// images on their way in and out, and the objects of batches and of the audit trail. It is the only importer of the
// AWS SDK.
//
// Invariants:
//
//   - A record is never overwritten blindly. Every write of one is a conditional PUT (If-None-Match: * creates,
//     If-Match changes) and carries a random write_id, so that of any number of racing writers exactly one wins, and a
//     writer whose reply was lost still learns that it won.
//   - Ages are taken from the server's own clock (Date minus Last-Modified of one response), never from ours.
//   - Only keys of the layout (layout.go) are touched, and in the inbox only what kycq itself put there is deleted.
//   - Every call ends within a bounded time (client.go); the SDK's retryer is the only retry layer.
//
// The package must not look into sealed text, must not log, and must put neither personal data nor image links into an
// error.
package storage
