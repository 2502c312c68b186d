package tasks

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
)

// payloadVersion is the version of the payloads that this program writes.
const payloadVersion = 1

// payload is the payload of a job's asynq task in Redis. A golden file holds its form.
type payload struct {
	Version int `json:"version"`
	JobSpec
}

// ErrPayloadVersion means that a newer kycq wrote the payload: upgrade the workers before the producers.
var ErrPayloadVersion = errors.New("payload of a newer version: upgrade the workers before the producers")

// DecodePayload parses the payload of an asynq task. Errors never quote it.
func DecodePayload(raw []byte) (JobSpec, error) {
	var p payload
	if err := json.Unmarshal(raw, &p); err != nil {
		return JobSpec{}, errors.New("decode payload: not the JSON that kycq writes")
	}
	if p.Version > payloadVersion {
		return JobSpec{}, fmt.Errorf("decode payload: version %d: %w", p.Version, ErrPayloadVersion)
	}
	if _, err := ParseKind(string(p.Kind)); err != nil {
		return JobSpec{}, errors.New("decode payload: unknown kind")
	}
	if _, err := ParseLane(string(p.Lane)); err != nil {
		return JobSpec{}, errors.New("decode payload: unknown lane")
	}
	if err := ValidateID(p.VerificationID); err != nil {
		return JobSpec{}, fmt.Errorf("decode payload: %w", err)
	}
	if p.Run < 1 || p.SealedInput == "" {
		return JobSpec{}, errors.New("decode payload: run or sealed input is missing")
	}
	return p.JobSpec, nil
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

func newTask(job JobSpec) (*asynq.Task, error) {
	raw, err := json.Marshal(payload{payloadVersion, job})
	if err != nil {
		return nil, fmt.Errorf("encode payload: %w", err)
	}
	opts := []asynq.Option{asynq.MaxRetry(maxRetry), asynq.Timeout(taskTimeout)}
	if job.Lane == Live {
		opts = append(opts, asynq.Retention(liveRetention))
	}
	return asynq.NewTask(TypeName(job.Kind), raw, opts...), nil
}
