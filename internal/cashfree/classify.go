package cashfree

import (
	"net/http"
	"strings"

	"github.com/kycq/kycq/internal/redact"
)

// endpoint is one of the vendor's two calls.
type endpoint struct {
	name string // for error texts
	path string // below Config.URL
	// ifInvalid is the documented next action for INVALID and INVALID_DOCUMENT.
	ifInvalid advice
	// read looks at the part of a VALID or INVALID answer that the other call does not have.
	read func(a answer, valid bool, f *finding)
}

var (
	maskAadhaar = endpoint{
		name: "mask aadhaar", path: "aadhaar-masking", read: readMasked,
		ifInvalid: advice{"the image is not a readable Aadhaar", "upload a valid copy of the Aadhaar"},
	}
	verifyPassport = endpoint{
		name: "verify passport", path: "passport", read: readPassport,
		ifInvalid: advice{"file number and date of birth do not belong to a passport", "enter the correct information"},
	}
)

// advice is what we tell an operator: fixed words, never the vendor's.
type advice struct{ message, nextAction string }

var (
	fixHeaders     = advice{"a required header is missing or invalid", "enter all header information: client id and client secret"}
	fixEnvironment = advice{"the client secret belongs to the test environment", "enter the credentials of this environment, or change the URL"}
	fixCredentials = advice{"client id and client secret do not belong together", "enter a valid client id and client secret"}
	fixSignature   = advice{"the request's signature is missing or wrong", "configure the account's public key, or choose IP whitelisting in the vendor's dashboard"}
	fixAddress     = advice{"this machine's IP address is not allowed", "whitelist the IP address in the vendor's dashboard"}
	fixBalance     = advice{"the account's balance is too low", "ensure sufficient balance, then resume"}
	fixID          = advice{"verification_id is missing, too long or holds other characters", "use 1 to 50 letters, digits, periods, hyphens and underscores"}
	fixImage       = advice{"the image is missing", "upload the image of the Aadhaar card"}
	fixFileNumber  = advice{"file_number is missing or invalid", "enter the file number"}
	fixDOB         = advice{"dob is missing or not a date", "enter the date of birth as YYYY-MM-DD"}
	fixSize        = advice{"the file is too large", "send an image of at most 10 MB"}
	fixDuplicate   = advice{"the verification_id was used before", "enter a unique verification_id"}
	fixRequest     = advice{"the request was rejected", "look at the vendor's code and correct the input"}
	slowDown       = advice{"too many requests", "wait; lower the configured rate if this repeats"}
	tryLater       = advice{"something went wrong at the vendor", "try again after some time"}
	askVendor      = advice{"the vendor's answer has a status that is not documented", "ask the vendor whether the call was charged before sending it again"}
)

// rule is one row of the vendor's tables. code is the vendor's code (a prefix where it ends in "*"), phrase a part of
// the vendor's message in lower case; a row with neither is the status's default.
type rule struct {
	status int
	code   string
	phrase string
	class  Class
	advice advice
}

// rules are the response tables of both vendor pages (statuses and messages) with the codes of the vendor OpenAPI. The
// x-cf-signature row of 400 is not documented; it is there because such an answer would concern every call.
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
	{404, "", "", Rejected, fixRequest},
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

// finding is what an answer says.
type finding struct {
	class       Class
	code        string
	message     string
	nextAction  string
	referenceID int64
	image       redact.Secret
	passport    *PassportAnswer
}

// classify is the one place that gives an answer its class: by status, then by code, then by message. body need not be
// JSON; an error that cannot be read is known by its status alone. id is the verification_id that was sent.
func classify(e endpoint, id string, status int, body []byte) finding {
	if status == http.StatusOK {
		return classifyOK(e, id, body)
	}
	p := readProblem(body)
	r := match(status, p)
	f := finding{class: r.class, code: p.code, message: r.advice.message, nextAction: r.advice.nextAction}
	if p.code == "" && r.phrase != "" && !strings.HasSuffix(r.code, "*") {
		f.code = r.code
	}
	return f
}

// match returns the row that fits best: the code weighs more than the message, and the message more than nothing.
func match(status int, p problem) rule {
	best, weight := rule{status: status, class: OtherStatus, advice: askVendor}, -1
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

// classifyOK reads a 200. It was paid for, so whatever is not exactly an answer to our question is Unexpected, kept,
// and for a person to look at.
func classifyOK(e endpoint, id string, body []byte) finding {
	a, err := readAnswer(body)
	if err != nil {
		return unexpected("the answer cannot be read")
	}
	f := finding{referenceID: a.ReferenceID.int64()}
	if id == "" || string(a.VerificationID) != id {
		return unexpected("the answer is for another verification_id")
	}
	switch strings.ToUpper(strings.TrimSpace(string(a.Status))) {
	case "VALID":
		f.class = Valid
	case "INVALID", "INVALID_DOCUMENT":
		f.class, f.message, f.nextAction = Invalid, e.ifInvalid.message, e.ifInvalid.nextAction
	default:
		return unexpected("the answer's status is not known")
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
	f.passport = &PassportAnswer{
		FileNumber:              redact.NewPersonal(string(a.FileNumber)),
		Name:                    redact.NewPersonal(string(a.Name)),
		DOB:                     redact.NewPersonal(string(a.DOB)),
		ApplicationType:         redact.NewPersonal(string(a.ApplicationType)),
		ApplicationReceivedDate: redact.NewPersonal(string(a.ApplicationReceivedDate)),
	}
}

func unexpected(message string) finding {
	return finding{class: Unexpected, message: message, nextAction: askVendor.nextAction}
}
