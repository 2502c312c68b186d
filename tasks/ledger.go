package tasks

import "context"

// Ledger makes a job durable before Redis hears of it. The storage package implements it on S3.
type Ledger interface {
	// Accept writes the queued record of a new job, or tells what already stands there. It must not return before the
	// record is durable.
	Accept(ctx context.Context, e Entry) (Standing, error)
}

// Entry is what the ledger keeps of a job: everything needed to run it again if Redis is lost.
type Entry struct {
	Kind           Kind
	VerificationID string
	Lane           Lane
	Run            int
	Batch          string
	Row            int
	SealedInput    string
	Fingerprint    string
}

// Standing is what the ledger holds for an id.
type Standing struct {
	Created     bool   // this call wrote it
	State       string // queued, waiting, sent, answered, valid, invalid, failed, cancelled
	Run         int
	Fingerprint string
	Final       bool
}
