package cashfree

import (
	"net/http"
	"strings"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/redact"
)

// endpoint is one of the vendor's two calls.
type endpoint struct {
	name string // for error texts
	path string // below Config.URL
	// ifInvalid is the documented advice for INVALID and INVALID_DOCUMENT.
	ifInvalid advice.Text
	// read reads the fields of a VALID or INVALID answer that only this call has.
	read func(a answer, valid bool, f *finding)
}

var (
	maskAadhaar = endpoint{
		name: "mask aadhaar", path: "aadhaar-masking", read: readMasked,
		ifInvalid: advice.For("invalid_document"),
	}
	verifyPassport = endpoint{
		name: "verify passport", path: "passport", read: readPassport,
		ifInvalid: advice.For("invalid_passport"),
	}
)

var (
	fixHeaders     = advice.For("x-client-id_missing")
	fixEnvironment = advice.For("x-client-secret_value_invalid")
	fixCredentials = advice.For("authentication_failed")
	fixSignature   = advice.For("x-cf-signature_invalid")
	fixAddress     = advice.For("ip_validation_failed")
	fixBalance     = advice.For("insufficient_balance")
	fixID          = advice.For("verification_id_value_invalid")
	fixImage       = advice.For("image_missing")
	fixFileNumber  = advice.For("file_number_missing")
	fixDOB         = advice.For("dob_value_invalid")
	fixSize        = advice.For("file_size_exceeded")
	fixDuplicate   = advice.For("verification_id_already_exists")
	fixRequest     = advice.For("request_rejected")
	fixURL         = advice.For("not_found")
	slowDown       = advice.For("rate_limited")
	tryLater       = advice.For("verification_failed")
	askVendor      = advice.For("unexpected_status")
)

// rule is a row of the vendor's tables. code is the vendor's code, or a prefix followed by "*"; phrase is part of the vendor's
// message in lower case. A row with neither is the default of its status.
type rule struct {
	status int
	code   string
	phrase string
	class  Class
	text   advice.Text
}

// rules are the response tables of both vendor pages (statuses and messages) with the codes of the vendor OpenAPI. The
// x-cf-signature row of 400 is not documented; such an answer would affect every call.
var rules = []rule{
	{400, "x-client-id_missing", "x-client-id is missing", Credentials, fixHeaders},
	{400, "x-client-secret_missing", "x-client-secret is missing", Credentials, fixHeaders},
	{400, "x-client-secret_value_invalid", "client secret belongs to", Credentials, fixEnvironment},
	{400, "x-client-*", "x-client-", Credentials, fixHeaders},
	{400, "authentication_failed", "clientid and clientsecret", Credentials, fixCredentials},
	{400, "x-cf-signature*", "x-cf-signature", Credentials, fixSignature},
	{400, "verification_id_missing", "verification_id is missing", Rejected, fixID},
	{400, "verification_id_value_invalid", "verification_id can include only", Rejected, fixID},
	{400, "verification_id_length_exceeded", "", Rejected, fixID},
	{400, "image_missing", "image is missing", Rejected, fixImage},
	{400, "file_number_missing", "file_number is missing", Rejected, fixFileNumber},
	{400, "dob_missing", "dob is missing", Rejected, fixDOB},
	{400, "dob_value_invalid", "dob should be of type", Rejected, fixDOB},
	{400, "", "", Rejected, fixRequest},
	{401, "authentication_failed", "clientid and clientsecret", Credentials, fixCredentials},
	{401, "", "", Credentials, fixCredentials},
	{403, "ip_validation_failed", "ip not whitelisted", NotAllowed, fixAddress},
	{403, "ip_validation_failed", "x-cf-signature", NotAllowed, fixSignature},
	{403, "", "", NotAllowed, fixAddress},
	{404, "", "", Rejected, fixURL},
	{409, "verification_id_already_exists", "verification id already exists", Duplicate, fixDuplicate},
	{409, "", "", Duplicate, fixDuplicate},
	{413, "", "", Rejected, fixSize},
	{422, "insufficient_balance", "insufficient balance", NoBalance, fixBalance},
	{422, "", "", Rejected, fixRequest},
	{429, "", "", RateLimited, slowDown},
	{500, "", "", OtherStatus, tryLater},
	{502, "", "", OtherStatus, tryLater},
	{503, "", "", OtherStatus, tryLater},
}

// finding is the result of classify.
type finding struct {
	class       Class
	code        string
	message     string
	nextAction  string
	referenceID int64
	image       redact.Secret
	passport    *PassportAnswer
	foreign     bool // an error answer in another form than the vendor's
}

// classify returns the class of an answer by status, then code, then message. If an error body is not JSON, the status
// alone decides. id is the verification_id that was sent.
func classify(e endpoint, id string, status int, body []byte) finding {
	if status == http.StatusOK {
		return classifyOK(e, id, body)
	}
	p := readProblem(body)
	r := match(status, p)
	f := finding{
		class: r.class, code: p.code, message: r.text.Message, nextAction: r.text.NextAction,
		foreign: p.foreign,
	}
	if p.code == "" && r.phrase != "" && !strings.HasSuffix(r.code, "*") {
		f.code = r.code
	}
	return f
}

// match returns the best row: one that matches the code, then one that matches the message, then the default.
func match(status int, p problem) rule {
	best, weight := rule{status: status, class: OtherStatus, text: askVendor}, -1
	for _, r := range rules {
		if r.status != status {
			continue
		}
		w := 0
		if r.code != "" && sameCode(r.code, p.code) {
			w += 2
		}
		if r.phrase != "" && strings.Contains(p.message, r.phrase) {
			w++
		}
		if w == 0 && (r.code != "" || r.phrase != "") {
			continue
		}
		if w > weight {
			best, weight = r, w
		}
	}
	return best
}

func sameCode(want, got string) bool {
	if prefix, ok := strings.CutSuffix(want, "*"); ok {
		return strings.HasPrefix(got, prefix)
	}
	return want == got
}

// classifyOK classifies a 200. It was paid for, so an answer that does not match the request is Unexpected and kept for
// review.
func classifyOK(e endpoint, id string, body []byte) finding {
	a, err := readAnswer(body)
	if err != nil {
		return unexpected("the answer is not a JSON object")
	}
	f := finding{referenceID: a.ReferenceID.int64()}
	if id == "" || string(a.VerificationID) != id {
		return unexpected("the answer is for another verification_id")
	}
	switch strings.ToUpper(strings.TrimSpace(string(a.Status))) {
	case "VALID":
		f.class = Valid
	case "INVALID", "INVALID_DOCUMENT":
		f.class, f.message, f.nextAction = Invalid, e.ifInvalid.Message, e.ifInvalid.NextAction
	default:
		return unexpected("the answer has an unknown status")
	}
	e.read(a, f.class == Valid, &f)
	return f
}

func readMasked(a answer, valid bool, f *finding) {
	switch {
	case !valid:
	case a.ImageLink == "":
		*f = unexpected("the answer has no image_link")
	default:
		f.image = redact.NewSecret(string(a.ImageLink))
	}
}

func readPassport(a answer, _ bool, f *finding) {
	p := Convert(a.PassportFields, func(t text) redact.Personal { return redact.NewPersonal(string(t)) })
	f.passport = &p
}

func unexpected(message string) finding {
	return finding{class: Unexpected, message: message, nextAction: advice.For("unexpected_answer").NextAction}
}
