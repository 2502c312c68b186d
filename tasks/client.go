package tasks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/asynqx"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/seal"
)

// Keyset seals what is personal. Producers and workers of one installation share it.
type Keyset = seal.Keyset

// ParseKeyset reads the JSON document that `kycq keys generate` prints.
func ParseKeyset(doc []byte) (*Keyset, error) { return seal.Parse(doc) }

// ErrDifferentInput means that the verification_id already belongs to a job with another input. It is never another job:
// choose a new id, or correct the input.
var ErrDifferentInput = errors.New("this verification_id already belongs to a job with a different input: use a new id")

// ErrRedisFull means that Redis is over 70 % of its maxmemory, and the job was not accepted. The rest is for those who empty
// the queues: enqueue again when they are shorter.
var ErrRedisFull = redisx.ErrFull

// ClientConfig holds the parts of a Client.
type ClientConfig struct {
	Redis  redis.UniversalClient // required; the caller closes it
	Keyset *Keyset               // required
	// Ledger is where jobs are accepted, usually a *storage.Store. Nil is an error unless WithoutLedger is set.
	Ledger Ledger
	// WithoutLedger lets Enqueue hand jobs to Redis alone: a job is lost if Redis is, until a worker has claimed it.
	WithoutLedger bool
}

// Client enqueues jobs. It is safe for concurrent use.
type Client struct {
	cfg      ClientConfig
	queue    *asynq.Client
	open     *redisx.OpenSet
	headroom *redisx.Headroom
}

// NewClient checks the configuration; it does not connect.
func NewClient(cfg ClientConfig) (*Client, error) {
	switch {
	case cfg.Redis == nil:
		return nil, errors.New("tasks client: Redis is missing")
	case cfg.Keyset == nil:
		return nil, errors.New("tasks client: the keyset is missing: `kycq keys generate` makes one")
	case cfg.Ledger == nil && !cfg.WithoutLedger:
		return nil, errors.New("tasks client: Ledger is missing: give it a storage.Store, or set WithoutLedger and accept that losing Redis loses jobs")
	}
	return &Client{
		cfg:      cfg,
		queue:    asynq.NewClientFromRedisClient(cfg.Redis),
		open:     redisx.NewOpenSet(cfg.Redis),
		headroom: redisx.NewHeadroom(cfg.Redis),
	}, nil
}

// Status is what Enqueue found or did.
type Status string

// The three answers of Enqueue.
const (
	Enqueued      Status = "enqueued"       // the job is new, or its task was missing and is there again
	AlreadyQueued Status = "already_queued" // the same job is waiting or being worked on
	AlreadyDone   Status = "already_done"   // the same job has its final record: nothing was enqueued
)

// Receipt answers an Enqueue.
type Receipt struct {
	Kind           Kind   `json:"kind"`
	VerificationID string `json:"verification_id"`
	Queue          string `json:"queue"`
	TaskID         string `json:"task_id"`
	Run            int    `json:"run"`
	Status         Status `json:"status"`
	// Outcome is set for AlreadyDone: valid, invalid, failed or cancelled.
	Outcome string `json:"outcome,omitempty"`
}

// Enqueue validates, seals, accepts and enqueues a job. It may be repeated: see the package comment.
//
// Errors: *InvalidError for a bad field; ErrDifferentInput; ErrRedisFull; otherwise the ledger's or Redis' error, after which the same call can simply be made again.
func (c *Client) Enqueue(ctx context.Context, j Job) (Receipt, error) {
	p, err := c.Prepare(j)
	if err != nil {
		return Receipt{}, err
	}
	if err := c.headroom.Check(ctx); err != nil {
		return Receipt{}, err
	}
	receipt := Receipt{Kind: p.Kind, VerificationID: p.VerificationID, Queue: Queue(p.Kind, p.Lane), Run: p.Run}
	if !c.cfg.WithoutLedger {
		existing, err := c.accept(ctx, p)
		if err != nil {
			return Receipt{}, err
		}
		p.Run, receipt.Run = existing.Run, existing.Run
		if existing.Final {
			receipt.Status, receipt.Outcome = AlreadyDone, existing.State
			receipt.TaskID = TaskID(p.VerificationID, p.Run)
			return receipt, nil
		}
	}
	receipt.TaskID = TaskID(p.VerificationID, p.Run)
	receipt.Status, err = c.Push(ctx, p)
	return receipt, err
}

// accept adds the id to the open set before the record is written, so that a crash between the two leaves a name to look
// up, never a record that nobody looks for.
func (c *Client) accept(ctx context.Context, p Payload) (ExistingJob, error) {
	if err := c.open.Add(ctx, string(p.Kind), p.VerificationID, time.Now()); err != nil {
		return ExistingJob{}, fmt.Errorf("enqueue: %w", err)
	}
	existing, err := c.cfg.Ledger.Accept(ctx, p.JobSpec)
	if err != nil {
		return ExistingJob{}, fmt.Errorf("enqueue: accept in the ledger: %w", err)
	}
	if !existing.Created && existing.Fingerprint != p.Fingerprint {
		return ExistingJob{}, ErrDifferentInput
	}
	if existing.Final {
		if err := c.open.Remove(ctx, string(p.Kind), p.VerificationID); err != nil {
			return ExistingJob{}, fmt.Errorf("enqueue: %w", err)
		}
	}
	return existing, nil
}

// Prepare is the first half of Enqueue: it validates a job and seals it into its payload, and writes nothing.
func (c *Client) Prepare(j Job) (Payload, error) {
	if j.Lane == "" {
		j.Lane = Live
	}
	if j.Run == 0 {
		j.Run = 1
	}
	if err := j.Validate(); err != nil {
		return Payload{}, err
	}
	plain, err := EncodeInput(j.Input)
	if err != nil {
		return Payload{}, fmt.Errorf("enqueue: %w", err)
	}
	keyset := c.cfg.Keyset
	sealed, err := keyset.Seal(plain, InputBinding(j.Kind, j.VerificationID))
	if err != nil {
		return Payload{}, fmt.Errorf("enqueue: %w", err)
	}
	return Payload{Version: PayloadVersion, JobSpec: JobSpec{
		Kind: j.Kind, VerificationID: j.VerificationID, Lane: j.Lane, Run: j.Run, Batch: j.Batch, Row: j.Row, SealedInput: sealed,
		Fingerprint: keyset.Fingerprint(string(j.Kind), j.VerificationID, identity(j.Input, plain)),
	}}, nil
}

// identity is what makes two inputs of one id the same: an image's content where it is known, else its place.
func identity(in Input, plain []byte) []byte {
	if in.Image != nil && in.Image.SHA256 != "" {
		return []byte("sha256:" + in.Image.SHA256)
	}
	return plain
}

// InputBinding is the associated data of a sealed input: it opens for this job alone.
func InputBinding(k Kind, id string) seal.Binding {
	return seal.Binding{Kind: string(k), ID: id, Purpose: seal.PurposeInput}
}

// AnswerBinding is the associated data of a sealed answer.
func AnswerBinding(k Kind, id string) seal.Binding {
	return seal.Binding{Kind: string(k), ID: id, Purpose: seal.PurposeAnswer}
}

// Push puts the task of an accepted payload into Redis. It is the second half of Enqueue, for those who hold a sealed
// payload already: the feeder of a batch, and whoever re-creates a task that Redis has lost. A task of the same id that has
// ended, while the record is not final (the caller knows), only blocks the id, and is deleted; one that will be delivered
// stays. asynq's own recoverer brings back an active task whose worker died.
func (c *Client) Push(ctx context.Context, p Payload) (Status, error) {
	task, err := newTask(p)
	if err != nil {
		return "", err
	}
	added, err := asynqx.Enqueue(ctx, c.queue, c.cfg.Redis, Queue(p.Kind, p.Lane), TaskID(p.VerificationID, p.Run), task)
	switch {
	case err != nil:
		return "", err
	case !added:
		return AlreadyQueued, nil
	}
	return Enqueued, nil
}
