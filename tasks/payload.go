package tasks

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
)

// PayloadVersion is the version of the wire form that this build writes. A golden file holds the form.
const PayloadVersion = 1

// Payload is the payload of a job's asynq task in Redis.
type Payload struct {
	Version int `json:"version"`
	JobSpec
}

// ErrPayloadVersion means that a newer kycq wrote the payload: upgrade the workers before the producers.
var ErrPayloadVersion = errors.New("payload of a newer version: upgrade the workers before the producers")

// DecodePayload reads what Payload marshals to. Errors never quote the payload.
func DecodePayload(raw []byte) (Payload, error) {
	var p Payload
	if err := json.Unmarshal(raw, &p); err != nil {
		return Payload{}, errors.New("decode payload: not the JSON that kycq writes")
	}
	if p.Version > PayloadVersion {
		return Payload{}, fmt.Errorf("decode payload: version %d: %w", p.Version, ErrPayloadVersion)
	}
	if _, err := ParseKind(string(p.Kind)); err != nil {
		return Payload{}, errors.New("decode payload: unknown kind")
	}
	if _, err := ParseLane(string(p.Lane)); err != nil {
		return Payload{}, errors.New("decode payload: unknown lane")
	}
	if err := ValidateID(p.VerificationID); err != nil {
		return Payload{}, fmt.Errorf("decode payload: %w", err)
	}
	if p.Run < 1 || p.SealedInput == "" {
		return Payload{}, errors.New("decode payload: run or sealed input is missing")
	}
	return p, nil
}

// TaskID is the asynq task id of a run of a job: the verification_id, with "#n" for run n > 1.
func TaskID(id string, run int) string {
	if run <= 1 {
		return id
	}
	return fmt.Sprintf("%s#%d", id, run)
}

const (
	// maxRetry is as high as asynq's int32 safely takes: asynq archives a task whose count is used up even when its error
	// is not a failure, so kycq counts attempts itself, in the record.
	maxRetry = 1 << 30
	// taskTimeout must be set: asynq reads zero as 30 minutes. It bounds the wait at the gate, not the paid call.
	taskTimeout = time.Hour
	// liveRetention keeps finished live jobs on the dashboard for a day; bulk ones would fill Redis.
	liveRetention = 24 * time.Hour
)

func newTask(p Payload) (*asynq.Task, error) {
	raw, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode payload: %w", err)
	}
	opts := []asynq.Option{
		asynq.MaxRetry(maxRetry), asynq.Timeout(taskTimeout),
	}
	if p.Lane == Live {
		opts = append(opts, asynq.Retention(liveRetention))
	}
	return asynq.NewTask(TypeName(p.Kind), raw, opts...), nil
}
