package storage

import (
	"slices"
	"time"

	"github.com/kycq/kycq/tasks"
)

// RecordVersion is the version of the record format that this program writes. It reads no other: a program that drops
// what it does not understand would lose it with its next write.
const RecordVersion = 1

// State says how far a job has come in its current run.
type State string

// The states of a record.
const (
	StateQueued    State = "queued"    // accepted, nothing tried
	StateWaiting   State = "waiting"   // tried, no request is out; NotBefore and Reason say for what it waits
	StateSent      State = "sent"      // a request may be out, its answer is not known
	StateAnswered  State = "answered"  // the vendor's answer is in the record, sealed; never calls again
	StateValid     State = "valid"     // final for this run
	StateInvalid   State = "invalid"   // final for this run
	StateFailed    State = "failed"    // final for this run
	StateCancelled State = "cancelled" // final for this run
)

// Final tells whether nobody may go on with a record in this state, other than by beginning its next run.
func (s State) Final() bool {
	switch s {
	case StateValid, StateInvalid, StateFailed, StateCancelled:
		return true
	case StateQueued, StateWaiting, StateSent, StateAnswered:
	}
	return false
}

// Record is the durable truth about one job and the write-ahead ledger of its calls. Its JSON form is a contract with
// everybody who reads the bucket; times are RFC 3339, UTC, with milliseconds.
type Record struct {
	Version int `json:"version"`
	tasks.JobSpec
	// WriteID is set by every write and tells a writer whether what stands there is its own.
	WriteID string `json:"write_id"`

	State State `json:"state"`
	// Code is the vendor's or ours, empty for success; Message and NextAction are our texts for it.
	Code       string `json:"code"`
	Message    string `json:"message"`
	NextAction string `json:"next_action"`
	// ReferenceID is Cashfree's own number of the call.
	ReferenceID int64        `json:"reference_id,omitempty"`
	MaskedImage *MaskedImage `json:"masked_image,omitempty"`
	// Review says why a person should look at the masked image; empty where none need to.
	Review   string        `json:"review,omitempty"`
	Passport *PassportView `json:"passport,omitempty"`

	// Sealed is the vendor's encrypted answer; it opens only with the keyset.
	Sealed string `json:"sealed,omitempty"`

	// Attempts holds every request of every run, oldest first.
	Attempts []Attempt `json:"attempts"`

	// NotBefore and Reason belong to the state waiting.
	NotBefore time.Time `json:"not_before,omitzero"`
	Reason    string    `json:"reason,omitempty"`
	// UploadDeletedAt is the evidence that kycq removed the unmasked image that it had uploaded.
	UploadDeletedAt time.Time `json:"upload_deleted_at,omitzero"`
	Erased          *Erasure  `json:"erased,omitempty"`

	CreatedAt   time.Time `json:"created_at,omitzero"`
	UpdatedAt   time.Time `json:"updated_at,omitzero"`
	CompletedAt time.Time `json:"completed_at,omitzero"`
}

// MaskedImage says where the image with the number and the QR code blocked lies.
type MaskedImage struct {
	Bucket      string `json:"bucket"`
	Key         string `json:"key"`
	SHA256      string `json:"sha256"`
	Bytes       int64  `json:"bytes"`
	ContentType string `json:"content_type"`
	Width       int    `json:"width"`
	Height      int    `json:"height"`
}

// PassportView is what of a passport's answer may be read without the key: masked texts and comparisons.
type PassportView struct {
	Name                    string  `json:"name,omitempty"`        // "J*** D**"
	FileNumber              string  `json:"file_number,omitempty"` // "***********4215"
	ApplicationType         string  `json:"application_type,omitempty"`
	ApplicationReceivedDate string  `json:"application_received_date,omitempty"` // YYYY-MM-DD
	Matches                 Matches `json:"matches"`
}

// Matches tells for each field whether the vendor's answer agrees with the input.
type Matches struct {
	Name       bool `json:"name"`
	DOB        bool `json:"dob"`
	FileNumber bool `json:"file_number"`
}

// Attempt is one HTTP request to Cashfree. It is written before the request leaves and completed after.
type Attempt struct {
	Run        int       `json:"run"`
	ProviderID string    `json:"provider_id"` // the verification_id that Cashfree saw
	SentAt     time.Time `json:"sent_at,omitzero"`
	// TimeoutMS is the call's timeout in milliseconds; the takeover age is counted from it.
	TimeoutMS int64     `json:"timeout_ms,omitempty"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	// HTTPStatus is 0 where no answer came.
	HTTPStatus int    `json:"http_status,omitempty"`
	Code       string `json:"code"`
	// Result is empty while the attempt's fate is not known.
	Result  string `json:"result,omitempty"`
	Counted bool   `json:"counted"` // whether it spends one of max-attempts
	Reissue bool   `json:"reissue,omitempty"`
	Probe   bool   `json:"probe,omitempty"`
}

// Erasure is the tombstone of what a person had removed.
type Erasure struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
}

// LastAttempt returns the newest attempt for the caller to read or complete in place, nil where there is none.
func (r *Record) LastAttempt() *Attempt {
	if len(r.Attempts) == 0 {
		return nil
	}
	return &r.Attempts[len(r.Attempts)-1]
}

// Clone returns a copy that shares nothing with r, so that a change can be prepared and dropped when its write loses.
func (r *Record) Clone() *Record {
	c := *r
	c.MaskedImage = clonePtr(r.MaskedImage)
	c.Passport = clonePtr(r.Passport)
	c.Erased = clonePtr(r.Erased)
	c.Attempts = slices.Clone(r.Attempts)
	return &c
}

func clonePtr[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
