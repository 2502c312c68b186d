package cashfree

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/redact"
)

// endpoint is one of the vendor's two calls.
type endpoint struct {
	name      string                   // for error texts
	path      string                   // below Config.URL
	ifInvalid string                   // the code whose advice belongs to INVALID and INVALID_DOCUMENT
	read      func(a answer, r *Reply) // reads the fields of a VALID or INVALID answer that only this call has
}

var (
	maskAadhaar    = endpoint{name: "mask aadhaar", path: "aadhaar-masking", ifInvalid: "invalid_document", read: readMasked}
	verifyPassport = endpoint{name: "verify passport", path: "passport", ifInvalid: "invalid_passport", read: readPassport}
)

// rule is a row of the vendor's tables. code is the vendor's code, or a prefix followed by "*"; phrase is part of the vendor's
// message in lower case. A row with neither is the default of its status.
type rule struct {
	status int
	code   string
	phrase string
	class  Class
	advice string // the code whose advice is given, if it is not that of code
}

func (r rule) text() advice.Text { return advice.For(cmp.Or(r.advice, r.code)) }

// rules are the response tables of both vendor pages (statuses and messages) with the codes of the vendor OpenAPI. The
// x-cf-signature row of 400 is not documented; such an answer would affect every call. The rows about the account apply to
// every 401 and 403.
var rules = []rule{
	{400, "x-client-id_missing", "x-client-id is missing", Credentials, ""},
	{400, "x-client-secret_missing", "x-client-secret is missing", Credentials, ""},
	{400, "x-client-secret_value_invalid", "client secret belongs to", Credentials, ""},
	{400, "x-client-*", "x-client-", Credentials, "x-client-id_missing"},
	{400, "authentication_failed", "clientid and clientsecret", Credentials, ""},
	{400, "x-cf-signature*", "x-cf-signature", Credentials, "x-cf-signature_invalid"},
	{400, "verification_id_missing", "verification_id is missing", Rejected, ""},
	{400, "verification_id_value_invalid", "verification_id can include only", Rejected, ""},
	{400, "verification_id_length_exceeded", "", Rejected, ""},
	{400, "image_missing", "image is missing", Rejected, ""},
	{400, "file_number_missing", "file_number is missing", Rejected, ""},
	{400, "dob_missing", "dob is missing", Rejected, ""},
	{400, "dob_value_invalid", "dob should be of type", Rejected, ""},
	{400, "", "", Rejected, "request_rejected"},
	{401, "authentication_failed", "clientid and clientsecret", Credentials, ""},
	{403, "ip_validation_failed", "ip not whitelisted", NotAllowed, ""},
	{403, "ip_validation_failed", "x-cf-signature", NotAllowed, "x-cf-signature_invalid"},
	{404, "", "", Rejected, "not_found"},
	{409, "verification_id_already_exists", "verification id already exists", Duplicate, ""},
	{409, "", "", Duplicate, "verification_id_already_exists"},
	{413, "", "", Rejected, "file_size_exceeded"},
	{422, "insufficient_balance", "insufficient balance", NoBalance, ""},
	{422, "", "", Rejected, "request_rejected"},
	{429, "", "", RateLimited, "rate_limited"},
	{500, "", "", OtherStatus, "verification_failed"},
	{502, "", "", OtherStatus, "verification_failed"},
	{503, "", "", OtherStatus, "verification_failed"},
}

// classify returns the class of an answer by status, then code, then message. id is the verification_id that was sent.
func classify(e endpoint, id string, status int, body []byte) *Reply {
	switch {
	case status == http.StatusOK:
		return classifyOK(e, id, body)
	case status > http.StatusOK && status < 300:
		return unreadable()
	}
	p := readProblem(body)
	r, documented := match(status, p)
	foreign := p.foreign && !documented
	if undocumented(status, r.class, foreign) {
		r = rule{status: status, class: Undocumented, advice: "undocumented_answer"}
	}
	text := r.text()
	reply := &Reply{Class: r.class, Code: p.code, Message: text.Message, NextAction: text.NextAction, Foreign: foreign}
	if p.code == "" && r.phrase != "" && !strings.HasSuffix(r.code, "*") {
		reply.Code = r.code
	}
	return reply
}

// undocumented reports whether an error answer that matches a row of this class, or none (OtherStatus), is Undocumented.
func undocumented(status int, class Class, foreign bool) bool {
	switch {
	case status >= 500 && status < 600:
		return false
	case isAccess(status):
		return class == OtherStatus
	}
	return foreign && (class == OtherStatus || status == http.StatusNotFound)
}

func isAccess(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

// match returns the best row: one that matches the code, then one that matches the message, then the default. documented is
// whether the code or the message matches.
func match(status int, p problem) (best rule, documented bool) {
	best, weight := rule{status: status, class: OtherStatus, advice: "unexpected_status"}, -1
	for _, r := range rules {
		if r.status != status && !(isAccess(status) && r.class.aboutAccount()) {
			continue
		}
		w := 0
		if r.code != "" && sameCode(r.code, p.code) {
			w += 4
		}
		if r.phrase != "" && strings.Contains(p.message, r.phrase) {
			w += 2
		}
		if w == 0 && (r.code != "" || r.phrase != "") {
			continue
		}
		if r.status == status {
			w++
		}
		if w > weight {
			best, weight = r, w
		}
	}
	return best, weight > 1
}

func (c Class) aboutAccount() bool { return c == Credentials || c == NotAllowed || c == NoBalance }

func sameCode(want, got string) bool {
	if prefix, ok := strings.CutSuffix(want, "*"); ok {
		return strings.HasPrefix(got, prefix)
	}
	return want == got
}

// classifyOK classifies a 200. If it has the vendor's status field, it was paid for: an answer that does not match the
// request is Unexpected and kept for review.
func classifyOK(e endpoint, id string, body []byte) *Reply {
	a, err := readAnswer(body)
	if err != nil || a.Status == "" {
		return unreadable()
	}
	if id == "" || string(a.VerificationID) != id {
		reply := unexpected("the answer is for another verification_id")
		reply.Foreign = a.VerificationID == "" && a.ReferenceID == ""
		return reply
	}
	reply := &Reply{ReferenceID: a.ReferenceID.int64()}
	switch strings.ToUpper(string(a.Status)) {
	case "VALID":
		reply.Class = Valid
	case "INVALID", "INVALID_DOCUMENT":
		text := advice.For(e.ifInvalid)
		reply.Class, reply.Message, reply.NextAction = Invalid, text.Message, text.NextAction
	default:
		return unexpected("the answer has an unknown status")
	}
	e.read(a, reply)
	return reply
}

func readMasked(a answer, r *Reply) {
	link := strings.TrimSpace(string(a.ImageLink))
	switch {
	case r.Class != Valid:
	case link == "":
		*r = *unexpected("the answer has no image_link")
	default:
		r.Image = redact.NewSecret(link)
	}
}

func readPassport(a answer, r *Reply) {
	p := Convert(a.PassportFields, func(t text) redact.Personal { return redact.NewPersonal(string(t)) })
	r.Passport = &p
}

func unreadable() *Reply {
	text := advice.For("answer_unknown")
	return &Reply{Class: Unreadable, Message: text.Message, NextAction: text.NextAction}
}

func unexpected(message string) *Reply {
	return &Reply{Class: Unexpected, Message: message, NextAction: advice.For("unexpected_answer").NextAction}
}
