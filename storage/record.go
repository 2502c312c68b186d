package storage

import (
	"slices"
	"strings"
	"time"

	"github.com/kycq/kycq/tasks"
)

// RecordVersion is the newest version of the record format that this program reads. It refuses later ones, since its next
// write would lose the fields that it does not know. A record is written as the lowest version that has all its fields.
const RecordVersion = 4

// formVersion is the version of the record's form: 2 has earlier runs, 3 the SHA-256 of the vendor's image, or the
// digit check, 4 comparisons that are words, not booleans.
func (r *Record) formVersion() int {
	hashed := func(m *MaskedImage) bool { return m != nil && m.VendorSHA256 != "" }
	compared := func(e EarlierRun) bool { return e.Passport != nil }
	switch {
	case r.Passport != nil, slices.ContainsFunc(r.Earlier, compared):
		return 4
	case r.DigitCheck != "", hashed(r.MaskedImage), slices.ContainsFunc(r.Earlier, func(e EarlierRun) bool { return hashed(e.MaskedImage) }):
		return 3
	case len(r.Earlier) > 0:
		return 2
	}
	return 1
}

// State is the progress of a job in its current run.
type State string

// The states of a record.
const (
	StateQueued    State = "queued"    // accepted, no attempt yet
	StateWaiting   State = "waiting"   // no request is in flight; NotBefore and Reason say what it waits for
	StateSent      State = "sent"      // a request may be in flight, its outcome is unknown
	StateAnswered  State = "answered"  // the record has the vendor's sealed answer; no further call
	StateValid     State = "valid"     // final for this run
	StateInvalid   State = "invalid"   // final for this run
	StateFailed    State = "failed"    // final for this run
	StateCancelled State = "cancelled" // final for this run
)

// Final reports whether the run has ended. A final record changes only by a new run, an erasure, or a paid answer of a call
// whose fate was unknown.
func (s State) Final() bool {
	switch s {
	case StateValid, StateInvalid, StateFailed, StateCancelled:
		return true
	case StateQueued, StateWaiting, StateSent, StateAnswered:
	}
	return false
}

// Record is the state of one job and the write-ahead log of its calls. Its JSON form is an interface for all readers of the
// bucket; times are RFC 3339, UTC, with milliseconds.
type Record struct {
	Version int `json:"version"`
	tasks.JobSpec
	// WriteID is random and new with every write.
	WriteID string `json:"write_id"`

	State State `json:"state"`
	// Code is the vendor's or kycq's, empty for success; Message and NextAction explain it.
	Code       string `json:"code"`
	Message    string `json:"message"`
	NextAction string `json:"next_action"`
	// ReferenceID is Cashfree's id of the verification.
	ReferenceID int64        `json:"reference_id,omitempty"`
	MaskedImage *MaskedImage `json:"masked_image,omitempty"`
	// Review is set if a person should check the masked image, and says why; or what a person has decided.
	Review string `json:"review,omitempty"`
	// QRCheck is the setting KYCQ_QR_CHECK by which the image was checked: visible or readable.
	QRCheck string `json:"qr_check,omitempty"`
	// DigitCheck is DigitCheckDone if a readable number was looked for in the masked image, else DigitCheckOff, or empty if the
	// image was refused before.
	DigitCheck string        `json:"digit_check,omitempty"`
	Passport   *PassportView `json:"passport,omitempty"`

	// Sealed is the vendor's encrypted answer; it opens only with the keyset.
	Sealed string `json:"sealed,omitempty"`

	// Earlier holds what earlier runs ended with, oldest first.
	Earlier []EarlierRun `json:"earlier,omitempty"`

	// Attempts holds every request of every run, oldest first.
	Attempts []Attempt `json:"attempts"`

	// NotBefore and Reason belong to the state waiting. NotBefore is by the clock of the writer, as UpdatedAt is: workers wait
	// for the difference, counted from the write by the store's clock.
	NotBefore time.Time `json:"not_before,omitzero"`
	Reason    string    `json:"reason,omitempty"`
	// UploadDeletedAt is when kycq deleted the unmasked image that it had uploaded.
	UploadDeletedAt time.Time `json:"upload_deleted_at,omitzero"`
	Erased          *Erasure  `json:"erased,omitempty"`

	CreatedAt   time.Time `json:"created_at,omitzero"`
	UpdatedAt   time.Time `json:"updated_at,omitzero"`
	CompletedAt time.Time `json:"completed_at,omitzero"`

	// Ending is set for the write that ends the run: webhook endpoints are owed it. The write resets it.
	Ending bool `json:"-"`
}

// The values of Record.DigitCheck.
const (
	DigitCheckDone = "done"
	DigitCheckOff  = "off"
)

// The beginnings of Record.Review after a decision; the user and the reason follow.
const (
	ReviewApproved = "approved by "
	ReviewRejected = "rejected by "
)

// NeedsReview reports whether a person should check the masked image, and none has.
func (r *Record) NeedsReview() bool {
	return r.Review != "" && r.Erased == nil && !strings.HasPrefix(r.Review, ReviewApproved) && !strings.HasPrefix(r.Review, ReviewRejected)
}

// MaskedImage locates the image in which the number and the QR code are masked.
type MaskedImage struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	SHA256 string `json:"sha256"`
	// VendorSHA256 is of the file as the vendor sent it. What is stored is made from it: the pixels and nothing else.
	VendorSHA256 string `json:"vendor_sha256,omitempty"`
	Bytes        int64  `json:"bytes"`
	ContentType  string `json:"content_type"`
	Width        int    `json:"width"`
	Height       int    `json:"height"`
}

// PassportView is the unencrypted part of a passport answer: masked texts and comparisons.
type PassportView struct {
	Name                    string  `json:"name,omitempty"`                      // "J*** D**"
	FileNumber              string  `json:"file_number,omitempty"`               // "***********4215"
	ApplicationType         string  `json:"application_type,omitempty"`          // "NORMAL", or "other" if it is not a known one
	ApplicationReceivedDate string  `json:"application_received_date,omitempty"` // YYYY-MM-DD
	Matches                 Matches `json:"matches"`
}

// Matches says for each field whether the vendor's answer equals the input.
type Matches struct {
	Name       Match `json:"name"`
	DOB        Match `json:"dob"`
	FileNumber Match `json:"file_number"`
}

// Mismatch reports whether any compared field differs. A nil view has none.
func (p *PassportView) Mismatch() bool {
	return p != nil && (p.Matches.Name == MatchNo || p.Matches.DOB == MatchNo || p.Matches.FileNumber == MatchNo)
}

// Match is the result of a comparison. Records up to version 3 have true and false for MatchYes and MatchNo.
type Match string

// The results. The zero value is written as NotTold.
const (
	MatchYes Match = "yes"
	MatchNo  Match = "no"
	NotTold  Match = "not_told" // the input or the answer has no such value, or one that cannot be read
)

// Attempt is one HTTP request to Cashfree. It is written before the request is sent, and completed afterwards.
type Attempt struct {
	Run        int       `json:"run"`
	ProviderID string    `json:"provider_id"` // the verification_id that Cashfree saw
	SentAt     time.Time `json:"sent_at,omitzero"`
	// TimeoutMS is the call's timeout in milliseconds; the takeover age is counted from it.
	TimeoutMS int64 `json:"timeout_ms,omitempty"`
	// SendWithinMS is the greatest age of the attempt, in milliseconds, at which its request is sent; 0: 5000.
	SendWithinMS int64     `json:"send_within_ms,omitempty"`
	EndedAt      time.Time `json:"ended_at,omitzero"`
	// HTTPStatus is 0 if no response came.
	HTTPStatus int    `json:"http_status,omitempty"`
	Code       string `json:"code"`
	// LinkGone counts the fetches that found the image link gone, LinkWaitMS is the time from the answer to the last of them.
	LinkGone   int   `json:"link_gone,omitempty"`
	LinkWaitMS int64 `json:"link_wait_ms,omitempty"`
	// Result is empty or ResultUnknown while it is not known whether Cashfree has processed the request.
	Result  string `json:"result,omitempty"`
	Counted bool   `json:"counted"`           // whether it counts towards max-attempts
	Reissue bool   `json:"reissue,omitempty"` // whether it may pay again: an earlier call with another id was answered, or its answer was lost
	Probe   bool   `json:"probe,omitempty"`   // whether it was the test call after a hold
}

// HTTP statuses: only internal/cashfree imports net/http.
const statusOK, statusGatewayTimeout = 200, 504

// ResultUnknown is the result of an attempt whose answer did not arrive. The other results are the worker's.
const ResultUnknown = "unknown"

// FateUnknown reports whether the request may have been processed without an answer that says so.
func (a Attempt) FateUnknown() bool {
	return a.Result == "" || a.Result == ResultUnknown || a.HTTPStatus == statusGatewayTimeout
}

// MayHavePaid reports whether the request was, or may have been, charged: it has no known end, or was answered with 200.
func (a Attempt) MayHavePaid() bool { return a.FateUnknown() || a.HTTPStatus == statusOK }

// MayHavePaid reports whether any request of any run was, or may have been, charged. A further run then may pay again.
func (r *Record) MayHavePaid() bool { return slices.ContainsFunc(r.Attempts, Attempt.MayHavePaid) }

// MaybeCharged reports whether the fate of any request of any run is unknown. The record's JSON has it as maybe_charged.
func (r *Record) MaybeCharged() bool { return slices.ContainsFunc(r.Attempts, Attempt.FateUnknown) }

// Erasure records that the personal data of a job was erased.
type Erasure struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	// Upload locates kycq's upload if a version of it remains, for the next erasure.
	Upload *tasks.Image `json:"upload,omitempty"`
}

// LastAttempt returns the newest attempt, to read or to complete in place; nil if there is none.
func (r *Record) LastAttempt() *Attempt {
	if len(r.Attempts) == 0 {
		return nil
	}
	return &r.Attempts[len(r.Attempts)-1]
}

// Clone returns a deep copy.
func (r *Record) Clone() *Record {
	c := *r
	c.MaskedImage = clonePtr(r.MaskedImage)
	c.Passport = clonePtr(r.Passport)
	c.Erased = clonePtr(r.Erased)
	if c.Erased != nil {
		c.Erased.Upload = clonePtr(c.Erased.Upload)
	}
	c.Attempts = slices.Clone(r.Attempts)
	c.Earlier = cloneEarlier(r.Earlier)
	return &c
}

func clonePtr[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
