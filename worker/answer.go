package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/internal/redact"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// answer is the result of one call, with everything that another worker needs to write it into the record. It holds
// personal data and leaves this process sealed only.
type answer struct {
	Kind        tasks.Kind           `json:"kind"`
	Run         int                  `json:"run"`
	ProviderID  string               `json:"provider_id"`
	SentAt      time.Time            `json:"sent_at"`
	EndedAt     time.Time            `json:"ended_at"`
	Probe       bool                 `json:"probe,omitempty"`
	Class       cashfree.Class       `json:"class"`
	HTTPStatus  int                  `json:"http_status,omitempty"`
	Foreign     bool                 `json:"foreign,omitempty"` // not in Cashfree's form
	Code        string               `json:"code,omitempty"`
	Message     string               `json:"message,omitempty"`     // from internal/advice, not from Cashfree
	NextAction  string               `json:"next_action,omitempty"` // likewise
	ReferenceID int64                `json:"reference_id,omitempty"`
	ImageLink   string               `json:"image_link,omitempty"`
	Passport    *passportAnswer      `json:"passport,omitempty"`
	Body        []byte               `json:"body,omitempty"`
	Source      maskcheck.SourceInfo `json:"source,omitzero"`
}

type passportAnswer = cashfree.PassportFields[string]

func newAnswer(job tasks.JobSpec, at storage.Attempt, reply *cashfree.Reply, source maskcheck.SourceInfo) answer {
	a := answer{
		Kind: job.Kind, Run: at.Run, ProviderID: at.ProviderID, SentAt: at.SentAt, EndedAt: time.Now().UTC(), Probe: at.Probe,
		Class: reply.Class, HTTPStatus: reply.HTTPStatus, Foreign: reply.Foreign, Code: reply.Code, Message: reply.Message, NextAction: reply.NextAction, ReferenceID: reply.ReferenceID,
		ImageLink: reply.Image.Reveal(), Body: reply.Body, Source: source,
	}
	if errors.Is(reply.Err, errImageChanged) {
		a.Code = codeImageChanged
	}
	if p := reply.Passport; p != nil {
		plain := cashfree.Convert(*p, tasks.Personal.Reveal)
		a.Passport = &plain
	}
	return a
}

// received reports whether an answer came.
func (a answer) received() bool { return a.HTTPStatus != 0 }

// paid reports whether the answer was paid for.
func (a answer) paid() bool {
	return a.Class == cashfree.Valid || a.Class == cashfree.Invalid || a.Class == cashfree.Unexpected
}

// takes reports whether the record takes the answer to its attempt i. A paid answer overrides whatever another worker has
// done meanwhile, and every end but an erasure and the result of another paid answer of the current run.
func takes(rec *storage.Record, i int, a answer) bool {
	switch {
	case i < 0 || !rec.Attempts[i].FateUnknown():
		return false
	case rec.State == storage.StateSent && i == len(rec.Attempts)-1:
		return true
	}
	return a.paid() && rec.Erased == nil && !slices.ContainsFunc(rec.Attempts, func(at storage.Attempt) bool {
		return at.Run == rec.Run && at.HTTPStatus == http.StatusOK && at.Result != resultLinkGone && at.Result != resultUnknown
	})
}

// of reports whether the answer belongs to the attempt.
func (a answer) of(at storage.Attempt) bool {
	return at.Run == a.Run && at.ProviderID == a.ProviderID && at.SentAt.Equal(a.SentAt)
}

// view returns the masked view of a passport answer; nil for another answer.
func (a answer) view(in *tasks.PassportInput) *storage.PassportView {
	p := a.Passport
	if p == nil || in == nil {
		return nil
	}
	return &storage.PassportView{
		Name: redact.MaskName(p.Name), FileNumber: redact.MaskFileNumber(p.FileNumber),
		ApplicationType: cashfree.ApplicationType(p.ApplicationType), ApplicationReceivedDate: cashfree.Date(p.ApplicationReceivedDate),
		Matches: storage.Matches{
			Name:       match(p.Name, in.Name.Reveal(), nameForms),
			DOB:        match(p.DOB, in.DOB.Reveal(), dateForms),
			FileNumber: match(p.FileNumber, in.FileNumber.Reveal(), numberForms),
		},
	}
}

// gateOutcome returns what the gate needs to know about a call. The reply is nil if no call was made.
func gateOutcome(reply *cashfree.Reply) gate.Outcome {
	if reply == nil {
		return gate.Outcome{Kind: gate.Unused}
	}
	if isOdd(reply.Class, reply.HTTPStatus, reply.Foreign) {
		return gate.Outcome{Kind: gate.Foreign}
	}
	o := gate.Outcome{
		Kind: gate.Answered, Limit: reply.Rate.Limit,
		Reset: reply.Rate.Reset, RetryAfter: reply.Rate.RetryAfter,
	}
	switch reply.Class {
	case cashfree.Credentials, cashfree.NotAllowed, cashfree.NoBalance:
		o.Kind = gate.Refused
	case cashfree.RateLimited:
		o.Kind = gate.Limited
	case cashfree.Lost:
		o.Kind = gate.Failed
	case cashfree.NotSent, cashfree.SourceBroken:
		o.Kind = gate.NotSent
	case cashfree.Duplicate:
		// A consumed id is refused even while the vendor fails: that must not close the breaker, or let alternating 502s and
		// 409s spend all attempts of a job.
		o.Kind = gate.Duplicate
	case cashfree.OtherStatus:
		if reply.HTTPStatus >= 500 {
			o.Kind = gate.Failed
		}
	case cashfree.Valid, cashfree.Invalid, cashfree.Unexpected, cashfree.Rejected, cashfree.Undocumented, cashfree.Unreadable:
	}
	return o
}

func sealAnswer(k *Keyset, id string, a answer) (string, error) {
	plain, err := json.Marshal(a)
	if err != nil {
		return "", errors.New("encode answer: cannot be encoded as JSON")
	}
	return k.Seal(plain, tasks.AnswerBinding(a.Kind, id))
}

func openAnswer(k *Keyset, kind tasks.Kind, id, sealed string) (answer, error) {
	plain, err := k.Open(sealed, tasks.AnswerBinding(kind, id))
	if err != nil {
		return answer{}, fmt.Errorf("open answer: %w", err)
	}
	var a answer
	if err := json.Unmarshal(plain, &a); err != nil {
		return answer{}, errors.New("open answer: not an answer that kycq has written")
	}
	return a, nil
}
