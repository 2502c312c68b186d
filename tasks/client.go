package tasks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/asynqx"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/seal"
)

// Keyset encrypts personal data. All producers and workers of an installation share one.
type Keyset = seal.Keyset

// ParseKeyset reads the JSON document that `kycq keys generate` prints.
func ParseKeyset(doc []byte) (*Keyset, error) { return seal.Parse(doc) }

// ErrDifferentInput means that the verification_id belongs to a job with another input. Choose a new id, or correct the
// input.
var ErrDifferentInput = errors.New("this verification_id already belongs to a job with a different input: use a new id")

// ErrRedisFull means that Redis uses over 70 % of its maxmemory, and the job was not accepted. The rest is reserved for the
// workers. Enqueue again later.
var ErrRedisFull = redisx.ErrFull

// ErrOtherInstallation means that Redis and the ledger belong to two installations: workers would look for the job's record
// in other buckets, or none would get the job. Correct the URL of Redis or the names of the buckets.
var ErrOtherInstallation = redisx.ErrOther

// ErrSealed means that the client has no keyset, but the installation's data is encrypted.
var ErrSealed = errors.New("the data of this installation is encrypted, and unencrypted data is refused: set KYCQ_KEYSET_FILE, and drop --insecure-no-sealing")

// ClientConfig configures a Client.
type ClientConfig struct {
	Redis  redis.UniversalClient // required; the caller closes it
	Keyset *Keyset               // required
	// Ledger stores the jobs, usually a *storage.Store. Required: a job is accepted by its record, and only the record shows
	// that an id belongs to another input.
	Ledger Ledger
	// RetryMax is the workers' longest backoff; 0: 10 minutes. A task that is delayed much longer is replaced by one that
	// runs at once.
	RetryMax time.Duration
}

// Client enqueues jobs. It is safe for concurrent use.
type Client struct {
	cfg      ClientConfig
	queue    *asynq.Client
	headroom *redisx.Headroom
	verified atomic.Pointer[time.Time] // when Redis and the ledger last belonged together
	name     atomic.Pointer[named]
}

const (
	defaultRetryMax = 10 * time.Minute
	// otherDelays is more than a task is delayed for anything but a backoff.
	otherDelays = 5 * time.Minute
)

// NewClient checks the configuration; it does not connect.
func NewClient(cfg ClientConfig) (*Client, error) {
	switch {
	case cfg.Redis == nil:
		return nil, errors.New("tasks client: Redis is missing")
	case cfg.Keyset == nil:
		return nil, errors.New("tasks client: the keyset is missing: create one with `kycq keys generate`")
	case cfg.Ledger == nil:
		return nil, errors.New("tasks client: Ledger is missing: set it to a storage.Store")
	}
	cfg.RetryMax = cmp.Or(cfg.RetryMax, defaultRetryMax)
	return &Client{cfg: cfg, queue: asynq.NewClientFromRedisClient(cfg.Redis), headroom: redisx.NewHeadroom(cfg.Redis)}, nil
}

// Status is what Enqueue did.
type Status string

// The values of Status.
const (
	Enqueued      Status = "enqueued"       // the job is new, or its task was missing in Redis
	AlreadyQueued Status = "already_queued" // the same job waits or is in progress
	AlreadyDone   Status = "already_done"   // the same job is final; nothing was enqueued
)

// Receipt is the result of Enqueue.
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

// Enqueue validates a job, encrypts its input, and accepts and enqueues it. It may be repeated: see the package comment.
//
// If Redis has lost its data, Enqueue waits up to 15 seconds for a worker to notice.
//
// Errors: *InvalidJobError for invalid fields, *InvalidError for an image in a place that the ledger does not allow,
// ErrDifferentInput, ErrOtherInstallation, ErrSealed, ErrRedisFull; otherwise an error of the ledger or of Redis, after which the
// same call can be repeated.
func (c *Client) Enqueue(ctx context.Context, j Job) (Receipt, error) {
	job, err := c.Prepare(j)
	if err != nil {
		return Receipt{}, err
	}
	if j.Input.Image != nil {
		if err := c.cfg.Ledger.CheckImage(j.VerificationID, *j.Input.Image); err != nil {
			return Receipt{}, err
		}
	}
	if err := c.verify(ctx); err != nil {
		return Receipt{}, err
	}
	if _, err := c.installation(ctx); err != nil {
		return Receipt{}, err
	}
	if err := c.headroom.Check(ctx); err != nil {
		return Receipt{}, err
	}
	existing, err := c.cfg.Ledger.Accept(ctx, job)
	if err != nil {
		return Receipt{}, fmt.Errorf("enqueue: write to the ledger: %w", err)
	}
	if !existing.Created && existing.Fingerprint != job.Fingerprint {
		return Receipt{}, ErrDifferentInput
	}
	job.Run, job.Base = existing.Run, existing.Base
	receipt := Receipt{
		Kind: job.Kind, VerificationID: job.VerificationID, Queue: Queue(job.Kind, job.Lane), Run: job.Run,
		TaskID: TaskID(job.VerificationID, job.Run),
	}
	if existing.Final {
		receipt.Status, receipt.Outcome = AlreadyDone, existing.State
		return receipt, nil
	}
	receipt.Status, err = c.Push(ctx, job)
	return receipt, err
}

// namePatience is how long a producer waits for the name of the installation, verifyEvery how long it trusts what it has
// read. A job that goes to a Redis that was just replaced is enqueued again from its record.
const (
	namePatience = 15 * time.Second
	verifyEvery  = 10 * time.Second
)

// verify returns ErrOtherInstallation if Redis and the ledger do not belong together.
func (c *Client) verify(ctx context.Context) error {
	if at := c.verified.Load(); at != nil && time.Since(*at) < verifyEvery {
		return nil
	}
	if err := redisx.CheckName(ctx, c.cfg.Redis, c.cfg.Ledger.RedisName, namePatience); err != nil {
		return fmt.Errorf("enqueue: %w", err)
	}
	now := time.Now()
	c.verified.Store(&now)
	return nil
}

// named is the installation's name, and when it was read.
type named struct {
	name string
	at   time.Time
}

// installation returns the name of the installation, which it reads once. Without a keyset it reads it again every
// verifyEvery: another process may have begun to encrypt.
func (c *Client) installation(ctx context.Context) (string, error) {
	sealing := c.cfg.Keyset.Sealing()
	if n := c.name.Load(); n != nil && (sealing || time.Since(n.at) < verifyEvery) {
		return n.name, nil
	}
	name, err := c.cfg.Ledger.Installation(ctx, sealing)
	if err != nil {
		return "", fmt.Errorf("read the name of the installation: %w", err)
	}
	c.name.Store(&named{name, time.Now()})
	return name, nil
}

// CheckSealing returns an error that wraps ErrSealed if this client has no keyset and the installation's data is encrypted.
// Enqueue and Push check it too.
func (c *Client) CheckSealing(ctx context.Context) error {
	_, err := c.installation(ctx)
	return err
}

// Prepare is the first half of Enqueue: it validates a job and encrypts its input. It writes nothing.
func (c *Client) Prepare(j Job) (JobSpec, error) {
	if j.Lane == "" {
		j.Lane = Live
	}
	if j.Run == 0 {
		j.Run = 1
	}
	if err := j.Validate(); err != nil {
		return JobSpec{}, err
	}
	plain, err := EncodeInput(j.Input)
	if err != nil {
		return JobSpec{}, fmt.Errorf("enqueue: %w", err)
	}
	sealed, err := c.cfg.Keyset.Seal(plain, InputBinding(j.Kind, j.VerificationID))
	if err != nil {
		return JobSpec{}, fmt.Errorf("enqueue: %w", err)
	}
	return JobSpec{
		Kind: j.Kind, VerificationID: j.VerificationID, Lane: j.Lane, Run: j.Run, Batch: j.Batch, Row: j.Row, Line: j.Line,
		SealedInput: sealed, Fingerprint: c.cfg.Keyset.Fingerprint(string(j.Kind), j.VerificationID, identity(j.Input, plain)),
	}, nil
}

// identity returns what is equal for equal inputs: an image's content if it is known, else its location.
func identity(in Input, plain []byte) []byte {
	if in.Image != nil && in.Image.SHA256 != "" {
		return []byte("sha256:" + in.Image.SHA256)
	}
	return plain
}

// InputBinding is the associated data of a sealed input, so it opens for this job only.
func InputBinding(k Kind, id string) seal.Binding {
	return seal.Binding{Kind: string(k), ID: id, Purpose: seal.PurposeInput}
}

// AnswerBinding is the associated data of a sealed answer.
func AnswerBinding(k Kind, id string) seal.Binding {
	return seal.Binding{Kind: string(k), ID: id, Purpose: seal.PurposeAnswer}
}

// Push is the second half of Enqueue: it adds the task of an accepted job to Redis, unless Driven reports that it has one.
// The caller knows that the record is not final, so any other task with the same id only blocks the id, and Push deletes it.
func (c *Client) Push(ctx context.Context, job JobSpec) (Status, error) {
	name, err := c.installation(ctx)
	if err != nil {
		return "", err
	}
	task, err := newTask(c.cfg.Keyset, name, job)
	if err != nil {
		return "", err
	}
	queue, id := Queue(job.Kind, job.Lane), TaskID(job.VerificationID, job.Run)
	added, err := asynqx.Enqueue(ctx, c.queue, c.cfg.Redis, queue, id, c.maxDelay(), task)
	switch {
	case err != nil:
		return "", err
	case !added:
		return AlreadyQueued, nil
	}
	return Enqueued, nil
}

func (c *Client) maxDelay() time.Duration { return c.cfg.RetryMax + otherDelays }

// Driven reports for each task id of a queue whether its task will be delivered soon enough: it is pending, active with a
// lease, or due by Redis' clock within RetryMax and five minutes. While the queue is paused nothing is delivered.
func (c *Client) Driven(ctx context.Context, queue string, taskIDs []string) (driven []bool, paused bool, err error) {
	n, err := c.cfg.Redis.Exists(ctx, asynqx.KeysOf(queue).Paused).Result()
	if err != nil {
		return nil, false, fmt.Errorf("look for the tasks of queue %s: %w", queue, err)
	}
	driven, err = asynqx.Driven(ctx, c.cfg.Redis, queue, taskIDs, c.maxDelay())
	return driven, n == 1, err
}
