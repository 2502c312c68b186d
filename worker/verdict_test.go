package worker

import (
	"testing"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Every kind of answer has its row.
func TestVerdictTable(t *testing.T) {
	t.Parallel()
	const none = storage.State("")
	at := func(result string, status int) storage.Attempt {
		return storage.Attempt{Run: 1, ProviderID: "A", Result: result, HTTPStatus: status}
	}
	earlier := func(list ...storage.Attempt) []storage.Attempt { return list }
	hold := Policy{}.WithDefaults()
	fail := Policy{FailOnAccountError: true}.WithDefaults()
	wide := Policy{RetryCodes: []int{500, 502, 503}}.WithDefaults()
	for name, c := range map[string]struct {
		policy  Policy
		answer  answer
		earlier []storage.Attempt
		reissue bool
		want    ruling
	}{
		"200 VALID aadhaar":     {answer: answer{Kind: tasks.Aadhaar, Class: cashfree.Valid, HTTPStatus: 200}, want: ruling{toAnswered, none, resultAnswered, "", true}},
		"200 VALID passport":    {answer: answer{Kind: tasks.Passport, Class: cashfree.Valid, HTTPStatus: 200}, want: ruling{toFinal, storage.StateValid, resultAnswered, "", true}},
		"200 INVALID_DOCUMENT":  {answer: answer{Kind: tasks.Aadhaar, Class: cashfree.Invalid, HTTPStatus: 200}, want: ruling{toFinal, storage.StateInvalid, resultAnswered, "invalid_document", true}},
		"200 INVALID":           {answer: answer{Kind: tasks.Passport, Class: cashfree.Invalid, HTTPStatus: 200}, want: ruling{toFinal, storage.StateInvalid, resultAnswered, "invalid_passport", true}},
		"200 otherwise":         {answer: answer{Class: cashfree.Unexpected, HTTPStatus: 200}, want: ruling{toFinal, storage.StateFailed, resultRefused, "unexpected_answer", true}},
		"400 about credentials": {answer: answer{Class: cashfree.Credentials, HTTPStatus: 400, Code: "x-client-id_missing"}, want: ruling{toHold, none, resultHeld, "x-client-id_missing", false}},
		"401":                   {answer: answer{Class: cashfree.Credentials, HTTPStatus: 401}, want: ruling{toHold, none, resultHeld, "authentication_failed", false}},
		"401, fail on it":       {policy: fail, answer: answer{Class: cashfree.Credentials, HTTPStatus: 401}, want: ruling{toFinal, storage.StateFailed, resultRefused, "authentication_failed", false}},
		"403":                   {answer: answer{Class: cashfree.NotAllowed, HTTPStatus: 403}, want: ruling{toHold, none, resultHeld, "ip_validation_failed", false}},
		"422 balance":           {answer: answer{Class: cashfree.NoBalance, HTTPStatus: 422}, want: ruling{toHold, none, resultHeld, "insufficient_balance", false}},
		"422 balance, fail":     {policy: fail, answer: answer{Class: cashfree.NoBalance, HTTPStatus: 422}, want: ruling{toFinal, storage.StateFailed, resultRefused, "insufficient_balance", false}},
		"400 other":             {answer: answer{Class: cashfree.Rejected, HTTPStatus: 400, Code: "dob_value_invalid"}, want: ruling{toFinal, storage.StateFailed, resultRefused, "dob_value_invalid", true}},
		"400 without a code":    {answer: answer{Class: cashfree.Rejected, HTTPStatus: 400}, want: ruling{toFinal, storage.StateFailed, resultRefused, "request_rejected", true}},
		"404":                   {answer: answer{Class: cashfree.Rejected, HTTPStatus: 404}, want: ruling{toFinal, storage.StateFailed, resultRefused, "not_found", true}},
		"413":                   {answer: answer{Class: cashfree.Rejected, HTTPStatus: 413}, want: ruling{toFinal, storage.StateFailed, resultRefused, "file_size_exceeded", true}},
		"422 other":             {answer: answer{Class: cashfree.Rejected, HTTPStatus: 422, Code: "other"}, want: ruling{toFinal, storage.StateFailed, resultRefused, "other", true}},
		"409, none of ours":     {answer: answer{Class: cashfree.Duplicate, HTTPStatus: 409}, want: ruling{toFinal, storage.StateFailed, resultDuplicate, "duplicate_verification_id", false}},
		"409, only unsent":      {answer: answer{Class: cashfree.Duplicate, HTTPStatus: 409}, earlier: earlier(at(resultNotSent, 0)), want: ruling{toFinal, storage.StateFailed, resultDuplicate, "duplicate_verification_id", false}},
		"409 after a 429":       {answer: answer{Class: cashfree.Duplicate, HTTPStatus: 409}, earlier: earlier(at(resultLimited, 429)), want: ruling{toFinal, storage.StateFailed, resultDuplicate, "duplicate_verification_id", false}},
		"409 after a hold":      {answer: answer{Class: cashfree.Duplicate, HTTPStatus: 409}, earlier: earlier(at(resultHeld, 401)), want: ruling{toFinal, storage.StateFailed, resultDuplicate, "duplicate_verification_id", false}},
		"409 after a 503":       {answer: answer{Class: cashfree.Duplicate, HTTPStatus: 409}, earlier: earlier(at(resultError, 503)), want: ruling{toFinal, storage.StateFailed, resultDuplicate, "duplicate_verification_id", false}},
		"409 after a proxy":     {answer: answer{Class: cashfree.Duplicate, HTTPStatus: 409}, earlier: earlier(at(resultForeign, 502)), want: ruling{toFinal, storage.StateFailed, resultDuplicate, "duplicate_verification_id", false}},
		"409 after a 500":       {answer: answer{Class: cashfree.Duplicate, HTTPStatus: 409}, earlier: earlier(at(resultError, 500), at(resultLimited, 429), at(resultHeld, 401)), want: ruling{toDerivedID, none, resultDuplicate, "vendor_id_consumed", false}},
		"409 after a 502":       {answer: answer{Class: cashfree.Duplicate, HTTPStatus: 409}, earlier: earlier(at(resultError, 502)), want: ruling{toDerivedID, none, resultDuplicate, "vendor_id_consumed", false}},
		"409 after a 504":       {answer: answer{Class: cashfree.Duplicate, HTTPStatus: 409}, earlier: earlier(at(resultUnknown, 504)), want: ruling{toFinal, storage.StateFailed, resultDuplicate, "answer_lost", false}},
		"409 after a 200":       {answer: answer{Class: cashfree.Duplicate, HTTPStatus: 409}, earlier: earlier(at(resultAnswered, 200)), want: ruling{toFinal, storage.StateFailed, resultDuplicate, "answer_lost", false}},
		"409, one in flight":    {answer: answer{Class: cashfree.Duplicate, HTTPStatus: 409}, earlier: earlier(at(resultError, 500), at("", 0)), want: ruling{toFinal, storage.StateFailed, resultDuplicate, "answer_lost", false}},
		"409, one unknown":      {answer: answer{Class: cashfree.Duplicate, HTTPStatus: 409}, earlier: earlier(at(resultError, 500), at(resultUnknown, 0)), want: ruling{toFinal, storage.StateFailed, resultDuplicate, "answer_lost", false}},
		"409, unknown, reissue": {answer: answer{Class: cashfree.Duplicate, HTTPStatus: 409}, earlier: earlier(at(resultUnknown, 0)), reissue: true, want: ruling{toDerivedID, none, resultDuplicate, "answer_lost", false}},
		"429":                   {answer: answer{Class: cashfree.RateLimited, HTTPStatus: 429}, want: ruling{toWaitRate, none, resultLimited, "rate_limited", false}},
		"500":                   {answer: answer{Class: cashfree.OtherStatus, HTTPStatus: 500, Code: "internal_error"}, want: ruling{toRetry, none, resultError, "internal_error", true}},
		"502":                   {answer: answer{Class: cashfree.OtherStatus, HTTPStatus: 502}, want: ruling{toRetry, none, resultError, "provider_error", true}},
		"nothing was sent":      {answer: answer{Class: cashfree.NotSent}, want: ruling{toResend, none, resultNotSent, "cashfree_unreachable", false}},
		"no whole answer":       {answer: answer{Class: cashfree.Lost}, want: ruling{toRetry, none, resultUnknown, "answer_unknown", true}},
		"source was replaced":   {answer: answer{Class: cashfree.SourceBroken, Code: codeImageChanged}, want: ruling{toFinal, storage.StateFailed, resultCut, codeImageChanged, false}},
		"source broke off":      {answer: answer{Class: cashfree.SourceBroken}, want: ruling{toRetry, none, resultUnknown, "answer_unknown", true}},
		"503":                   {answer: answer{Class: cashfree.OtherStatus, HTTPStatus: 503}, want: ruling{toFinal, storage.StateFailed, resultRefused, "unexpected_status", true}},
		"503, listed":           {policy: wide, answer: answer{Class: cashfree.OtherStatus, HTTPStatus: 503}, want: ruling{toRetry, none, resultError, "provider_error", true}},
		"502 of a proxy":        {answer: answer{Class: cashfree.OtherStatus, HTTPStatus: 502, Foreign: true}, want: ruling{toRetry, none, resultForeign, "provider_error", true}},
		"504, listed":           {policy: Policy{RetryCodes: []int{504}, MaxAttempts: 6}, answer: answer{Class: cashfree.OtherStatus, HTTPStatus: 504}, want: ruling{toRetry, none, resultUnknown, "provider_error", true}},
		"504":                   {answer: answer{Class: cashfree.OtherStatus, HTTPStatus: 504}, want: ruling{toFinal, storage.StateFailed, resultUnknown, "unexpected_status", true}},
		"200 of no form":        {answer: answer{Class: cashfree.Unreadable, HTTPStatus: 200}, want: ruling{toRetry, none, resultUnknown, "answer_unknown", true}},
		"403 of no form":        {answer: answer{Class: cashfree.Undocumented, HTTPStatus: 403, Foreign: true}, want: ruling{toWait, none, resultUndocumented, "undocumented_answer", false}},
		"409 after no form":     {answer: answer{Class: cashfree.Duplicate, HTTPStatus: 409}, earlier: earlier(at(resultUndocumented, 403)), want: ruling{toFinal, storage.StateFailed, resultDuplicate, "duplicate_verification_id", false}},
		"409 after a page":      {answer: answer{Class: cashfree.Duplicate, HTTPStatus: 409}, earlier: earlier(at(resultUnknown, 200)), want: ruling{toFinal, storage.StateFailed, resultDuplicate, "answer_lost", false}},
		"302 with a code":       {answer: answer{Class: cashfree.OtherStatus, HTTPStatus: 302}, want: ruling{toFinal, storage.StateFailed, resultRefused, "unexpected_status", true}},
	} {
		policy := c.policy
		if policy.MaxAttempts == 0 {
			policy = hold
		}
		if got := policy.rule(c.answer, c.earlier, c.reissue); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

// For every answer, the record gets a code of the advice table and a text.
func TestEveryVerdictIsExplained(t *testing.T) {
	t.Parallel()
	results := []string{resultNotSent, resultError, resultUnknown}
	for _, class := range cashfree.Classes() {
		for _, kind := range tasks.Kinds() {
			for _, status := range []int{0, 200, 400, 404, 413, 422, 500, 502, 503, 504} {
				for _, policy := range []Policy{{}, {FailOnAccountError: true}, {ReissueLostAnswers: true}} {
					for _, result := range results {
						a := answer{Kind: kind, Class: class, HTTPStatus: status}
						r := policy.WithDefaults().rule(a, []storage.Attempt{{Result: result}}, policy.ReissueLostAnswers)
						if r.code == "" && (r.state == storage.StateValid || r.next == toAnswered) {
							continue
						}
						if text := explain(r, a); !advice.Known(r.code) || text.Message == "" || text.NextAction == "" {
							t.Errorf("%s %s %d after %s: code %q, %+v", class, kind, status, result, r.code, text)
						}
					}
				}
			}
		}
	}
}

func TestTextsFollowTheVendorsTableAndTheDisposition(t *testing.T) {
	t.Parallel()
	vendors := func(class cashfree.Class, status int, code string) answer {
		return answer{Kind: tasks.Passport, Class: class, HTTPStatus: status, Code: code, Message: "what happened", NextAction: "do this"}
	}
	for name, c := range map[string]struct {
		policy  Policy
		answer  answer
		message string
		next    string
	}{
		"held":                    {Policy{}, vendors(cashfree.NoBalance, 422, ""), "what happened", "do this; then run `kycq fleet resume`"},
		"refused, and not held":   {Policy{FailOnAccountError: true}, vendors(cashfree.NoBalance, 422, ""), "what happened", "do this; then run `kycq job retry`"},
		"rejected":                {Policy{}, vendors(cashfree.Rejected, 400, "other"), "what happened", "do this; then submit the row under a new verification_id"},
		"invalid":                 {Policy{}, vendors(cashfree.Invalid, 200, ""), "what happened", "do this; then submit the row under a new verification_id"},
		"retried":                 {Policy{}, vendors(cashfree.OtherStatus, 502, ""), "what happened", advice.Retrying},
		"undocumented status":     {Policy{}, vendors(cashfree.OtherStatus, 418, ""), advice.For("unexpected_status").Message, advice.For("unexpected_status").NextAction},
		"504 may have been paid":  {Policy{}, vendors(cashfree.OtherStatus, 504, ""), advice.For("gateway_timeout").Message, advice.For("gateway_timeout").NextAction},
		"kept by an old version":  {Policy{}, answer{Class: cashfree.Rejected, HTTPStatus: 404}, advice.For("not_found").Message, advice.For("not_found").NextAction + "; then run `kycq job retry`"},
		"a duplicate of no known": {Policy{}, vendors(cashfree.Duplicate, 409, ""), advice.For("duplicate_verification_id").Message, advice.For("duplicate_verification_id").NextAction},
	} {
		r := c.policy.WithDefaults().rule(c.answer, nil, false)
		if got := explain(r, c.answer); got != (advice.Text{Message: c.message, NextAction: c.next}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestAttemptsAreExhaustedAtTheirLimit(t *testing.T) {
	t.Parallel()
	p := Policy{MaxAttempts: 3}.WithDefaults()
	retry := ruling{next: toRetry}
	for _, c := range []struct {
		counted, sent int
		want          bool
	}{{1, 1, false}, {2, 8, false}, {3, 3, true}, {0, 9, true}} {
		if got := p.exhausted(retry, c.counted, c.sent); got != c.want {
			t.Errorf("counted %d, sent %d: %v", c.counted, c.sent, got)
		}
	}
	if p.exhausted(ruling{next: toWaitRate}, 99, 99) {
		t.Error("a 429 must not end a job")
	}
}

func TestBackoffGrowsWithJitterAndStaysBelowItsMaximum(t *testing.T) {
	t.Parallel()
	p := Policy{}.WithDefaults()
	for n := 1; n < 80; n++ {
		full := p.RetryMax
		if n < 8 {
			full = min(p.RetryBase<<(n-1), p.RetryMax)
		}
		for range 20 {
			if d := p.backoff(n); d < full/2 || d > full {
				t.Fatalf("attempt %d: %v is outside of %v to %v", n, d, full/2, full)
			}
		}
	}
}
