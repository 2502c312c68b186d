package worker

import (
	"net/http"
	"slices"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// The table of verdicts: what each answer of Cashfree's means for the job. Every row stands here and nowhere else.

// disposition is what the job does next.
type disposition string

const (
	toAnswered  disposition = "answered"  // aadhaar: fetch, check and store the image
	toFinal     disposition = "final"     // the outcome is in ruling.state
	toRetry     disposition = "retry"     // wait out a backoff, send again with the same id
	toResend    disposition = "resend"    // nothing left: send again soon, nothing is spent
	toHold      disposition = "hold"      // the account is refused: stop the fleet
	toWaitRate  disposition = "wait-rate" // 429: the gate waits, then send again
	toDerivedID disposition = "derive-id" // the id is used up: go on with a derived one
)

// Results of an attempt, as they stand in the record.
const (
	resultAnswered  = "answered"  // a 200 with what was asked for
	resultRefused   = "refused"   // a final error answer
	resultError     = "error"     // an error answer that may be retried
	resultHeld      = "held"      // the account is refused
	resultLimited   = "limited"   // 429
	resultDuplicate = "duplicate" // 409
	resultNotSent   = "not_sent"  // nothing left this machine
	resultUnknown   = "unknown"   // the request left, its answer is not known
	resultLinkGone  = "link_gone" // answered, but the image can no longer be fetched
)

// ruling is a row of the table, applied to one answer.
type ruling struct {
	next    disposition
	state   storage.State // for toFinal
	result  string        // into the attempt
	code    string        // into the record: the vendor's, or ours
	counted bool          // spends one of max-attempts
}

// rule applies the table to an answer. earlier holds the attempts that were made with the same provider_id before this
// one, in any run; mayReissue says that a lost answer may be bought again.
func (p Policy) rule(a answer, earlier []storage.Attempt, mayReissue bool) ruling {
	switch a.Class {
	case cashfree.Valid:
		if a.Kind == tasks.Passport {
			return ruling{next: toFinal, state: storage.StateValid, result: resultAnswered, counted: true}
		}
		return ruling{next: toAnswered, result: resultAnswered, counted: true}
	case cashfree.Invalid:
		return ruling{next: toFinal, state: storage.StateInvalid, result: resultAnswered, code: invalidCode(a.Kind), counted: true}
	case cashfree.Unexpected:
		return failed(resultRefused, "unexpected_answer")
	case cashfree.Credentials, cashfree.NotAllowed, cashfree.NoBalance:
		code := accountCode(a)
		if p.FailOnAccountError {
			r := failed(resultRefused, code)
			r.counted = false
			return r
		}
		return ruling{next: toHold, result: resultHeld, code: code}
	case cashfree.Rejected:
		return failed(resultRefused, rejectedCode(a))
	case cashfree.Duplicate:
		return ruleDuplicate(earlier, mayReissue)
	case cashfree.RateLimited:
		return ruling{next: toWaitRate, result: resultLimited, code: "rate_limited"}
	case cashfree.NotSent:
		return ruling{next: toResend, result: resultNotSent, code: "cashfree_unreachable"}
	case cashfree.Lost, cashfree.SourceBroken:
		return ruling{next: toRetry, result: resultUnknown, code: "answer_unknown", counted: true}
	case cashfree.OtherStatus:
		if slices.Contains(p.RetryCodes, a.HTTPStatus) {
			return ruling{next: toRetry, result: resultError, code: orCode(a.Code, "provider_error"), counted: true}
		}
		if a.HTTPStatus == http.StatusGatewayTimeout {
			return failed(resultUnknown, "unexpected_status") // possibly charged: the advice says so
		}
		return failed(resultRefused, "unexpected_status")
	}
	return failed(resultRefused, "unexpected_answer")
}

// ruleDuplicate reads a 409 from the earlier requests with that id.
func ruleDuplicate(earlier []storage.Attempt, mayReissue bool) ruling {
	left, unknown := false, false
	for _, at := range earlier {
		switch at.Result {
		case resultNotSent:
		case "", resultUnknown, resultAnswered, resultLinkGone:
			left, unknown = true, true
		default:
			left = true
		}
	}
	switch {
	case !left:
		r := failed(resultDuplicate, "duplicate_verification_id")
		r.counted = false
		return r
	case !unknown:
		return ruling{next: toDerivedID, result: resultDuplicate, code: "vendor_id_consumed"}
	case mayReissue:
		return ruling{next: toDerivedID, result: resultDuplicate, code: "answer_lost"}
	}
	r := failed(resultDuplicate, "answer_lost")
	r.counted = false
	return r
}

// exhausted ends a job that has spent its attempts.
func (p Policy) exhausted(r ruling, counted, sent int) bool {
	return r.next == toRetry && (counted >= p.MaxAttempts || sent >= 3*p.MaxAttempts)
}

// explain returns the text for the record that an answer leads to. If the code is Cashfree's, the text is too.
func explain(r ruling, a answer) advice.Text {
	text := advice.For(r.code)
	if a.HTTPStatus == http.StatusGatewayTimeout && r.code == "unexpected_status" {
		return advice.For("gateway_timeout")
	}
	cashfrees := advice.Text{Message: a.Message, NextAction: a.NextAction}
	switch {
	case r.next == toDerivedID && r.code == "answer_lost":
		return advice.For("answer_reissued")
	case r.next == toRetry && r.result == resultError:
		return advice.Text{Message: orText(cashfrees, text).Message, NextAction: advice.Retrying}
	}
	switch a.Class {
	case cashfree.Credentials, cashfree.NotAllowed, cashfree.NoBalance:
		text = orText(cashfrees, text)
		command := "kycq job retry"
		if r.next == toHold {
			command = "kycq fleet resume"
		}
		text.NextAction += "; then run `" + command + "`"
	case cashfree.Rejected, cashfree.Invalid:
		text = orText(cashfrees, text)
		text.NextAction += "; then submit the row under a new verification_id"
	}
	return text
}

func orText(text, otherwise advice.Text) advice.Text {
	if text.Message != "" {
		return text
	}
	return otherwise
}

func failed(result, code string) ruling {
	return ruling{next: toFinal, state: storage.StateFailed, result: result, code: code, counted: true}
}

func invalidCode(k tasks.Kind) string {
	if k == tasks.Aadhaar {
		return "invalid_document"
	}
	return "invalid_passport"
}

// accountCode is the vendor's code, or one of ours that says what was refused: the vendor's page lists messages, not
// codes, for most refusals.
func accountCode(a answer) string {
	switch a.Class {
	case cashfree.NoBalance:
		return orCode(a.Code, "insufficient_balance")
	case cashfree.NotAllowed:
		return orCode(a.Code, "ip_validation_failed")
	default:
		return orCode(a.Code, "authentication_failed")
	}
}

func rejectedCode(a answer) string {
	switch a.HTTPStatus {
	case http.StatusRequestEntityTooLarge:
		return orCode(a.Code, "file_size_exceeded")
	case http.StatusNotFound:
		return orCode(a.Code, "not_found")
	default:
		return orCode(a.Code, "request_rejected")
	}
}

func orCode(code, ours string) string {
	if code != "" {
		return code
	}
	return ours
}
