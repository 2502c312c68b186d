package storage

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/kycq/kycq/internal/forms"
	"github.com/kycq/kycq/tasks"
)

// stamp is a time that marshals as forms.Time. time.Time reads that form too.
type stamp time.Time

func (s stamp) MarshalText() ([]byte, error) {
	return time.Time(s).UTC().AppendFormat(nil, forms.Time), nil
}

func (s stamp) IsZero() bool { return time.Time(s).IsZero() }

// Each MarshalJSON below replaces the times: a field of the outer struct shadows the one of the same name in the embedded
// struct. That of Record also keeps the order of the fields, which golden files check.

type plainRecord Record

// MarshalJSON returns the form that is stored in S3 and that job show --json prints.
func (r Record) MarshalJSON() ([]byte, error) {
	attempts := r.Attempts
	if attempts == nil {
		attempts = []Attempt{} // readers may always iterate
	}
	return json.Marshal(struct {
		Version        int        `json:"version"`
		Kind           tasks.Kind `json:"kind"`
		VerificationID string     `json:"verification_id"`
		Lane           tasks.Lane `json:"lane"`
		Batch          string     `json:"batch,omitempty"`
		Row            int        `json:"row,omitempty"`
		Line           int        `json:"line,omitempty"`
		Run            int        `json:"run"`
		plainRecord
		MaybeCharged    bool         `json:"maybe_charged,omitempty"`
		SealedInput     string       `json:"sealed_input,omitempty"`
		Sealed          string       `json:"sealed,omitempty"`
		Fingerprint     string       `json:"fingerprint,omitempty"`
		Earlier         []EarlierRun `json:"earlier,omitempty"`
		Attempts        []Attempt    `json:"attempts"`
		NotBefore       stamp        `json:"not_before,omitzero"`
		Reason          string       `json:"reason,omitempty"`
		UploadDeletedAt stamp        `json:"upload_deleted_at,omitzero"`
		Erased          *Erasure     `json:"erased,omitempty"`
		CreatedAt       stamp        `json:"created_at,omitzero"`
		UpdatedAt       stamp        `json:"updated_at,omitzero"`
		CompletedAt     stamp        `json:"completed_at,omitzero"`
	}{
		r.Version, r.Kind, r.VerificationID, r.Lane, r.Batch, r.Row, r.Line, r.Run,
		plainRecord(r), r.MaybeCharged(),
		r.SealedInput, r.Sealed, r.Fingerprint,
		r.Earlier, attempts, stamp(r.NotBefore), r.Reason, stamp(r.UploadDeletedAt), r.Erased,
		stamp(r.CreatedAt), stamp(r.UpdatedAt), stamp(r.CompletedAt),
	})
}

type plainAttempt Attempt

// MarshalJSON returns the form that records contain.
func (a Attempt) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		plainAttempt
		SentAt  stamp `json:"sent_at,omitzero"`
		EndedAt stamp `json:"ended_at,omitzero"`
	}{plainAttempt(a), stamp(a.SentAt), stamp(a.EndedAt)})
}

type plainErasure Erasure

// MarshalJSON returns the form that records contain.
func (e Erasure) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		At stamp `json:"at"`
		plainErasure
	}{stamp(e.At), plainErasure(e)})
}

// MarshalText writes the zero value as NotTold.
func (m Match) MarshalText() ([]byte, error) { return []byte(cmp.Or(m, NotTold)), nil }

// UnmarshalJSON also reads the booleans of earlier versions.
func (m *Match) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case "true", `"yes"`:
		*m = MatchYes
	case "false", `"no"`:
		*m = MatchNo
	default:
		*m = NotTold
	}
	return nil
}

// decodeRecord reads a record and refuses other versions. It ignores unknown fields: one that a swap must not lose comes
// with a higher version.
func decodeRecord(body []byte) (*Record, error) {
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return nil, fmt.Errorf("not the JSON of a record: %d bytes", len(body))
	}
	if head.Version < 1 || head.Version > RecordVersion {
		return nil, fmt.Errorf("%w: the record has version %d, this kycq reads up to version %d: use the kycq that wrote it, or a newer one",
			ErrVersion, head.Version, RecordVersion)
	}
	r := new(Record)
	if err := json.Unmarshal(body, r); err != nil {
		return nil, fmt.Errorf("not the JSON of a record: %w", shapeOf(err))
	}
	return r, nil
}

// shapeOf returns the part of a JSON error that does not quote the text.
func shapeOf(err error) error {
	if te, ok := err.(*json.UnmarshalTypeError); ok { //nolint:errorlint // json returns it unwrapped
		return fmt.Errorf("field %s is not of type %s", te.Field, te.Type)
	}
	return fmt.Errorf("malformed")
}
