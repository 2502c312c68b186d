package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/hibiken/asynq"

	"github.com/kycq/kycq/internal/seal"
)

// payloadVersion is the version of the payloads that this program writes. Version 1 had no seal.
const payloadVersion = 2

// payload is the payload of a job's asynq task in Redis. A golden file holds its form.
type payload struct {
	Version int `json:"version"`
	JobSpec
	Base Base `json:"base,omitzero"`
	// Seal authenticates all other fields and the installation's name: it is an empty text that is sealed with them.
	Seal string `json:"seal"`
}

var (
	// ErrPayloadVersion means that a newer kycq wrote the payload: upgrade the workers before the producers.
	ErrPayloadVersion = errors.New("payload of a newer version: upgrade the workers before the producers")
	// ErrPayloadUnsealed means that an earlier kycq or another program wrote the payload: it is not authenticated. The
	// leader enqueues the job again from its record.
	ErrPayloadUnsealed = errors.New("payload of an earlier version, which is not authenticated")
	// ErrPayloadForged means that the payload was not written with the keyset for this task of this installation.
	ErrPayloadForged = errors.New("the payload is not authentic")
)

// DecodePayload parses the payload of an asynq task, of this version or an earlier one. It does not authenticate it. Errors
// never quote it.
func DecodePayload(raw []byte) (JobSpec, error) {
	p, err := decodePayload(raw)
	return p.JobSpec, err
}

func decodePayload(raw []byte) (payload, error) {
	var p payload
	if err := json.Unmarshal(raw, &p); err != nil {
		return payload{}, errors.New("decode payload: not the JSON that kycq writes")
	}
	if p.Version > payloadVersion {
		return payload{}, fmt.Errorf("decode payload: version %d: %w", p.Version, ErrPayloadVersion)
	}
	if _, err := ParseKind(string(p.Kind)); err != nil {
		return payload{}, errors.New("decode payload: unknown kind")
	}
	if _, err := ParseLane(string(p.Lane)); err != nil {
		return payload{}, errors.New("decode payload: unknown lane")
	}
	if err := ValidateID(p.VerificationID); err != nil {
		return payload{}, fmt.Errorf("decode payload: %w", err)
	}
	if p.Run < 1 || p.SealedInput == "" {
		return payload{}, errors.New("decode payload: run or sealed input is missing")
	}
	p.JobSpec.Base = p.Base
	return p, nil
}

// OpenPayload parses and authenticates the payload of the task that was delivered with this id from this queue. Errors wrap
// ErrPayloadVersion, ErrPayloadUnsealed or ErrPayloadForged, seal.ErrKeyMissing if another worker may have the key, or are
// those of the ledger or of the JSON.
func (c *Client) OpenPayload(ctx context.Context, queue, taskID string, raw []byte) (JobSpec, error) {
	p, err := decodePayload(raw)
	switch {
	case errors.Is(err, ErrPayloadVersion):
		return JobSpec{}, err
	case err != nil:
		return JobSpec{}, fmt.Errorf("%w: %w", ErrPayloadForged, err)
	case p.Version < payloadVersion:
		return JobSpec{}, ErrPayloadUnsealed
	case queue != Queue(p.Kind, p.Lane) || taskID != TaskID(p.VerificationID, p.Run):
		return JobSpec{}, fmt.Errorf("%w: it belongs to another task", ErrPayloadForged)
	}
	name, err := c.installation(ctx)
	if err != nil {
		return JobSpec{}, err
	}
	_, err = c.cfg.Keyset.Open(p.Seal, payloadBinding(name, p.JobSpec))
	if errors.Is(err, seal.ErrBroken) {
		return JobSpec{}, fmt.Errorf("%w: %w", ErrPayloadForged, err)
	}
	return p.JobSpec, err
}

// payloadBinding has every field of a payload.
func payloadBinding(installation string, j JobSpec) seal.Binding {
	return seal.Binding{Kind: string(j.Kind), ID: j.VerificationID, Purpose: seal.PurposePayload, Further: seal.Fields(
		installation, string(j.Lane), strconv.Itoa(j.Run), j.Batch, strconv.Itoa(j.Row), strconv.Itoa(j.Line), j.SealedInput,
		j.Fingerprint, strconv.FormatBool(j.Base.None), j.Base.ETag, strconv.FormatInt(j.Base.CreatedAt.UnixMilli(), 10),
	)}
}

// TaskID returns the asynq task id of a run of a job: the verification_id, with "#n" for run n > 1.
func TaskID(id string, run int) string {
	if run <= 1 {
		return id
	}
	return fmt.Sprintf("%s#%d", id, run)
}

const (
	// maxRetry is practically unlimited: asynq archives a task after that many errors, even those that are not failures.
	// kycq counts attempts itself, in the record.
	maxRetry = 1 << 30
	// taskTimeout limits the wait at the gate, not the paid call. (For asynq, zero means 30 minutes.)
	taskTimeout = time.Hour
	// liveRetention is how long the dashboard shows finished live jobs. Bulk jobs would fill Redis.
	liveRetention = 24 * time.Hour
)

func newTask(keyset *Keyset, installation string, job JobSpec) (*asynq.Task, error) {
	sealed, err := keyset.Seal(nil, payloadBinding(installation, job))
	if err != nil {
		return nil, fmt.Errorf("encode payload: %w", err)
	}
	raw, err := json.Marshal(payload{payloadVersion, job, job.Base, sealed})
	if err != nil {
		return nil, fmt.Errorf("encode payload: %w", err)
	}
	opts := []asynq.Option{asynq.MaxRetry(maxRetry), asynq.Timeout(taskTimeout)}
	if job.Lane == Live {
		opts = append(opts, asynq.Retention(liveRetention))
	}
	return asynq.NewTask(TypeName(job.Kind), raw, opts...), nil
}
