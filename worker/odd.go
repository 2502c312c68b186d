package worker

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/storage"
)

// An odd answer may not come from Cashfree's API: from a firewall that dislikes one request, or from another server that
// KYCQ_CASHFREE_URL leads to. Which of them it is shows in the answers to other jobs, so the fleet counts odd answers of a
// kind until a good one (hold.Streak).
const (
	// oddLimit is the number of jobs in a row with an odd answer that hold their kind, and that of undocumented answers to one
	// job that end it, or hold its kind.
	oddLimit = 3
	// The delays after the first and after a later undocumented answer.
	firstOddDelay = 30 * time.Second
	oddDelay      = time.Minute

	undocumentedAnswer = "undocumented_answer"
)

// isOdd reports whether an answer is odd. Some odd answers are final for their job.
func isOdd(class cashfree.Class, status int, foreign bool) bool {
	switch class {
	case cashfree.Undocumented, cashfree.Unreadable:
		return true
	case cashfree.Unexpected:
		return foreign
	case cashfree.Rejected:
		return status == http.StatusNotFound || status == http.StatusBadRequest && foreign
	case cashfree.OtherStatus:
		return status < 500
	}
	return false
}

// isGood reports whether Cashfree's API has answered a job as documented, so that odd answers are not the fault of all jobs.
func isGood(a answer) bool {
	switch a.Class {
	case cashfree.Valid, cashfree.Invalid:
		return true
	case cashfree.Rejected, cashfree.Duplicate:
		return !a.Foreign && a.HTTPStatus != http.StatusNotFound
	}
	return false
}

// countAnswer counts the answer that is to be written, once, whether or not that succeeds. Without Redis an odd answer counts
// as the only one.
func (d *delivery) countAnswer(ctx context.Context) {
	if d.streak != nil {
		return
	}
	d.streak = &hold.Streak{}
	a, kind := *d.answer, string(d.job.Kind)
	var err error
	switch {
	case isOdd(a.Class, a.HTTPStatus, a.Foreign):
		*d.streak, err = d.Gate.OddAnswer(ctx, kind, fmt.Sprintf("%s#%d", d.job.VerificationID, a.Run))
	case isGood(a):
		err = d.Gate.GoodAnswer(ctx, kind)
	}
	if err != nil {
		d.log.Warn().Err(err).Msg("the answer was not counted")
	}
}

// holdsKind reports whether the counted answer holds the kind.
func holdsKind(a answer, s hold.Streak) bool {
	return s.Jobs >= oddLimit || a.Class == cashfree.Undocumented && s.Tries >= oddLimit
}

// ruleUndocumented ends a job at its third undocumented answer, if another job was answered well meanwhile. rec has the answer.
func ruleUndocumented(rec *storage.Record, a answer, s hold.Streak) ruling {
	switch {
	case undocumented(rec) >= oddLimit && s.GoodSince:
		return failed(resultUndocumented, "unexpected_status")
	case holdsKind(a, s):
		return ruling{next: toHold, result: resultUndocumented, code: undocumentedAnswer}
	}
	return ruling{next: toWait, result: resultUndocumented, code: undocumentedAnswer}
}

// undocumented counts the undocumented answers of the current run.
func undocumented(rec *storage.Record) (n int) {
	for _, at := range rec.Attempts {
		if at.Run == rec.Run && at.Result == resultUndocumented {
			n++
		}
	}
	return n
}

func undocumentedDelay(rec *storage.Record) time.Duration {
	if undocumented(rec) == 1 {
		return firstOddDelay
	}
	return oddDelay
}

// resumed is the text for a code that holds calls.
func resumed(code string) advice.Text { return advice.For(code).Then("run `kycq fleet resume`") }

// oddHold is the hold that an odd answer raises.
func oddHold(a answer) hold.Hold {
	reason := fmt.Sprintf("is this Cashfree's API? KYCQ_CASHFREE_URL leads to answers with status %d", a.HTTPStatus)
	switch {
	case advice.Known(a.Code):
		reason += " and code " + a.Code
	case a.Code != "":
		reason += " and an unknown code, which is in the record of the job"
	}
	return hold.Hold{
		Cause: hold.Vendor, Kind: string(a.Kind), Reason: reason, Code: undocumentedAnswer, NextAction: resumed(undocumentedAnswer).NextAction,
	}
}
