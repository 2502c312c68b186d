package tasks

import (
	"context"
	"time"
)

// Ledger stores jobs durably. *storage.Store implements it on S3.
type Ledger interface {
	// RedisName returns the name of the Redis that delivers the ledger's jobs, or "" if no worker has run yet. Redis carries
	// the same name.
	RedisName(ctx context.Context) (string, error)
	// Installation returns the name of the installation that the ledger belongs to; it never changes. sealing says whether the
	// producer has a keyset with keys. Once a producer or worker had one, the ledger refuses those without.
	Installation(ctx context.Context, sealing bool) (string, error)
	// CheckImage returns an *InvalidError if a job with this id must not use the image, without looking for it.
	CheckImage(id string, img Image) error
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
	// Batch and Row name the batch row that the job comes from, Line its line in the file; all are zero for a single job.
	Batch string `json:"batch,omitempty"`
	Row   int    `json:"row,omitempty"`
	Line  int    `json:"line,omitempty"`
	// SealedInput is the encrypted input. It opens only with the keyset, and only for this kind and verification_id.
	SealedInput string `json:"sealed_input"`
	// Fingerprint is a keyed hash of the plain input. Two inputs for one verification_id differ if their fingerprints do.
	Fingerprint string `json:"fingerprint"`
	// Base is part of payloads, not of records.
	Base Base `json:"-"`
}

// Base is what a producer knew of the record when it enqueued the job, so that a worker need not read it. The zero value
// means nothing: the worker reads the record.
type Base struct {
	// None means that there was no record yet.
	None bool `json:"none,omitempty"`
	// ETag and CreatedAt are those of the record of run 1, in state queued and without attempts.
	ETag      string    `json:"etag,omitempty"`
	CreatedAt time.Time `json:"created_at,omitzero"`
}

// ExistingJob describes the record that the ledger holds for a verification_id.
type ExistingJob struct {
	Created     bool   // true if this call wrote the record
	Base        Base   // set if this call wrote the record of run 1
	State       string // queued, waiting, sent, answered, valid, invalid, failed or cancelled
	Run         int
	Fingerprint string
	Final       bool
}
