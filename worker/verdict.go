package worker

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// disposition says what the job does next.
type disposition string

const (
	toAnswered  disposition = "answered"  // aadhaar: fetch, check and store the image
	toFinal     disposition = "final"     // the outcome is in ruling.state
	toRetry     disposition = "retry"     // send again with the same id after a backoff
	toResend    disposition = "resend"    // the request was not sent: send it again soon
	toHold      disposition = "hold"      // Cashfree refuses the account, or is not what answers: put all calls or the kind on hold
	toWait      disposition = "wait"      // an undocumented answer: send again after a delay
	toWaitRate  disposition = "wait-rate" // 429: send again when the gate allows it
	toDerivedID disposition = "derive-id" // Cashfree has used up the id: continue with a derived one
)

// Results of an attempt in the record.
const (
	resultAnswered  = "answered"  // a 200 of the documented form
	resultRefused   = "refused"   // a final error answer
	resultError     = "error"     // an error answer of Cashfree's that may be retried
	resultForeign   = "foreign"   // the same, but not in Cashfree's form: it says nothing about the id
	resultHeld      = "held"      // Cashfree refused the account
	resultLimited   = "limited"   // 429
	resultDuplicate = "duplicate" // 409
	resultNotSent   = "not_sent"  // the request was not sent
	resultCut       = "cut"       // the request was cut before its end, so it cannot have been processed
	resultUnknown   = storage.ResultUnknown
	resultLinkGone  = "link_gone" // answered, but the image can no longer be fetched

	resultUndocumented = "undocumented" // an error answer that may not be Cashfree's
)

// ruling is what kycq does about one answer.
type ruling struct {
	next    disposition
	state   storage.State // for toFinal
	result  string        // of the attempt
	code    string        // of the record: Cashfree's or kycq's
	counted bool          // counts as one of max-attempts
}

// rule maps every answer to its ruling. earlier are the attempts with the same provider_id before this one, in any run;
// mayReissue allows to buy a lost answer again.
func (p Policy) rule(a answer, earlier []storage.Attempt, mayReissue bool) ruling {
	switch a.Class {
	case cashfree.Valid:
		if a.Kind == tasks.Passport {
			return ruling{next: toFinal, state: storage.StateValid, result: resultAnswered, counted: true}
		}
		return ruling{next: toAnswered, result: resultAnswered, counted: true}
	case cashfree.Invalid:
		return ruling{next: toFinal, state: storage.StateInvalid, result: resultAnswered, code: invalidCodes[a.Kind], counted: true}
	case cashfree.Unexpected:
		return failed(resultRefused, "unexpected_answer")
	case cashfree.Credentials, cashfree.NotAllowed, cashfree.NoBalance:
		code := cmp.Or(a.Code, accountCodes[a.Class])
		if p.FailOnAccountError {
			return ruling{next: toFinal, state: storage.StateFailed, result: resultRefused, code: code}
		}
		return ruling{next: toHold, result: resultHeld, code: code}
	case cashfree.Rejected:
		return failed(resultRefused, cmp.Or(a.Code, rejectedCodes[a.HTTPStatus], "request_rejected"))
	case cashfree.Duplicate:
		return ruleDuplicate(earlier, mayReissue)
	case cashfree.RateLimited:
		return ruling{next: toWaitRate, result: resultLimited, code: "rate_limited"}
	case cashfree.NotSent:
		return ruling{next: toResend, result: resultNotSent, code: "cashfree_unreachable"}
	case cashfree.Undocumented:
		return ruling{next: toWait, result: resultUndocumented, code: undocumentedAnswer}
	case cashfree.Lost, cashfree.SourceBroken, cashfree.Unreadable:
		if a.Code == codeImageChanged {
			return ruling{next: toFinal, state: storage.StateFailed, result: resultCut, code: codeImageChanged}
		}
		return ruling{next: toRetry, result: resultUnknown, code: "answer_unknown", counted: true}
	case cashfree.OtherStatus:
		return p.ruleOtherStatus(a)
	}
	return failed(resultRefused, "unexpected_answer")
}

// ruleOtherStatus rules on the statuses that Cashfree's tables do not explain, and on 500 and 502. After a 504, the call may
// have been charged.
func (p Policy) ruleOtherStatus(a answer) ruling {
	result := resultError
	switch {
	case a.HTTPStatus == http.StatusGatewayTimeout:
		result = resultUnknown
	case a.Foreign:
		result = resultForeign
	}
	switch {
	case slices.Contains(p.RetryCodes, a.HTTPStatus):
		return ruling{next: toRetry, result: result, code: cmp.Or(a.Code, "provider_error"), counted: true}
	case result == resultUnknown:
		return failed(resultUnknown, "unexpected_status")
	}
	return failed(resultRefused, "unexpected_status")
}

// ruleDuplicate interprets a 409 by the earlier requests with the same id. If one of them may have been charged, its answer
// is lost. If Cashfree itself failed with one, it uses up ids with failed calls. All other answers come before Cashfree looks
// at the id, so another system has used it.
func ruleDuplicate(earlier []storage.Attempt, mayReissue bool) ruling {
	failedWith := func(at storage.Attempt) bool {
		return at.Result == resultError && (at.HTTPStatus == http.StatusInternalServerError || at.HTTPStatus == http.StatusBadGateway)
	}
	lost := slices.ContainsFunc(earlier, storage.Attempt.MayHavePaid)
	switch {
	case lost && mayReissue:
		return ruling{next: toDerivedID, result: resultDuplicate, code: "answer_lost"}
	case lost:
		return ruling{next: toFinal, state: storage.StateFailed, result: resultDuplicate, code: "answer_lost"}
	case slices.ContainsFunc(earlier, failedWith):
		return ruling{next: toDerivedID, result: resultDuplicate, code: "vendor_id_consumed"}
	}
	return ruling{next: toFinal, state: storage.StateFailed, result: resultDuplicate, code: "duplicate_verification_id"}
}

// exhausted reports whether a job that would be retried has used up its attempts.
func (p Policy) exhausted(r ruling, counted, sent int) bool {
	return r.next == toRetry && (counted >= p.MaxAttempts || sent >= 3*p.MaxAttempts)
}

// explain returns the text for a ruling. The texts for answers about the account and about the request come from
// internal/cashfree, which knows more than the code.
func explain(r ruling, a answer) advice.Text {
	text := advice.For(r.code)
	fromReply := text
	if a.Message != "" {
		fromReply = advice.Text{Message: a.Message, NextAction: a.NextAction}
	}
	switch {
	case r.next == toDerivedID && r.code == "answer_lost":
		return advice.For("answer_reissued")
	case r.code == "unexpected_status" && a.HTTPStatus == http.StatusGatewayTimeout:
		return advice.For("gateway_timeout")
	case r.next == toRetry && a.Class == cashfree.OtherStatus:
		return advice.Text{Message: fromReply.Message, NextAction: advice.Retrying}
	}
	switch a.Class {
	case cashfree.Undocumented:
		if r.next == toHold {
			return resumed(r.code)
		}
	case cashfree.Credentials, cashfree.NotAllowed, cashfree.NoBalance:
		if r.next == toHold {
			return fromReply.Then("run `kycq fleet resume`")
		}
		return fromReply.Then("run `kycq job retry`")
	case cashfree.Rejected, cashfree.Invalid:
		if a.HTTPStatus == http.StatusNotFound { // the URL is at fault, not the row
			return fromReply.Then("run `kycq job retry`")
		}
		return fromReply.Then("submit the row under a new verification_id")
	}
	return text
}

func failed(result, code string) ruling {
	return ruling{next: toFinal, state: storage.StateFailed, result: result, code: code, counted: true}
}

// Codes for answers that have none: Cashfree documents most refusals by their message only.
var (
	invalidCodes = map[tasks.Kind]string{tasks.Aadhaar: "invalid_document", tasks.Passport: "invalid_passport"}
	accountCodes = map[cashfree.Class]string{
		cashfree.Credentials: "authentication_failed",
		cashfree.NotAllowed:  "ip_validation_failed",
		cashfree.NoBalance:   "insufficient_balance",
	}
	accountCauses = map[cashfree.Class]string{
		cashfree.Credentials: hold.Credentials,
		cashfree.NotAllowed:  hold.IP,
		cashfree.NoBalance:   hold.Balance,
	}
	rejectedCodes = map[int]string{
		http.StatusRequestEntityTooLarge: "file_size_exceeded",
		http.StatusNotFound:              "not_found",
	}
)
