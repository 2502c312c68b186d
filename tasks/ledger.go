package tasks

import "context"

// Ledger stores jobs durably. *storage.Store implements it on S3.
type Ledger interface {
	// RedisName returns the name of the Redis that delivers the ledger's jobs, or "" if no worker has run yet. Redis carries
	// the same name.
	RedisName(ctx context.Context) (string, error)
	// Accept writes the queued record of a new job, or returns the existing one. It returns after everything is durable that
	// a worker needs to find the job if Redis loses its task.
	Accept(ctx context.Context, job JobSpec) (ExistingJob, error)
}

// JobSpec describes one run of a job with its input sealed. Payloads and records embed it, so a job can be enqueued again
// from its record if Redis is lost.
type JobSpec struct {
	Kind           Kind   `json:"kind"`
	VerificationID string `json:"verification_id"`
	Lane           Lane   `json:"lane"`
	// Run counts from 1; each retry of a finished job by an operator is the next run.
	Run int `json:"run"`
	// Batch and Row name the batch row that the job comes from; both are zero for a single job.
	Batch string `json:"batch,omitempty"`
	Row   int    `json:"row,omitempty"`
	// SealedInput is the encrypted input. It opens only with the keyset, and only for this kind and verification_id.
	SealedInput string `json:"sealed_input"`
	// Fingerprint is a keyed hash of the plain input. Two inputs for one verification_id differ if their fingerprints do.
	Fingerprint string `json:"fingerprint"`
}

// ExistingJob describes the record that the ledger holds for a verification_id.
type ExistingJob struct {
	Created     bool   // true if this call wrote the record
	State       string // queued, waiting, sent, answered, valid, invalid, failed or cancelled
	Run         int
	Fingerprint string
	Final       bool
}
