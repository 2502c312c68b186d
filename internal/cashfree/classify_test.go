package cashfree

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kycq/kycq/internal/advice"
)

// The advice that the tests expect.
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
	askProxy       = advice.For("undocumented_answer")
	unknownAnswer  = advice.For("answer_unknown")
)

// TestEveryDocumentedAnswerHasItsClass covers the tables of the two vendor pages row by row (with the message only, as
// printed there), the codes of the vendor OpenAPI, and undocumented bodies.
func TestEveryDocumentedAnswerHasItsClass(t *testing.T) {
	t.Parallel()
	coded := func(typ, code, message string) string {
		b, _ := json.Marshal(map[string]string{"type": typ, "code": code, "message": message})
		return string(b)
	}
	said := func(message string) string { return coded("validation_error", "", message) }
	invalid := func(code string) string { return coded("validation_error", code, "") }
	const html = "<html><body>x-client-id is missing, Insufficient balance</body></html>"
	passport := `{"verification_id":"ABC00123","reference_id":1358,"status":"%s","name":"Specimen Person"}`

	tests := []struct {
		name   string
		e      endpoint
		status int
		body   string
		class  Class
		code   string
		text   advice.Text
	}{
		// Page "Aadhaar Masking".
		{"aadhaar valid", maskAadhaar, 200, okMasked, Valid, "", advice.Text{}},
		{"aadhaar invalid document", maskAadhaar, 200, `{"status":"INVALID_DOCUMENT","verification_id":"ABC00123"}`, Invalid, "", advice.For("invalid_document")},
		{"aadhaar no client id", maskAadhaar, 400, said("x-client-id is missing in the request"), Credentials, "x-client-id_missing", fixHeaders},
		{"aadhaar no image", maskAadhaar, 400, said("image is missing in the request"), Rejected, "image_missing", fixImage},
		{"aadhaar bad id", maskAadhaar, 400, said("verification_id can include only alphanum, dot, hyphen and underscores"), Rejected, "verification_id_value_invalid", fixID},
		{"aadhaar test secret", maskAadhaar, 400, said("Client secret belongs to test environment"), Credentials, "x-client-secret_value_invalid", fixEnvironment},
		{"aadhaar 401", maskAadhaar, 401, said("Invalid clientId and clientSecret combination"), Credentials, "authentication_failed", fixCredentials},
		{"aadhaar 403", maskAadhaar, 403, said("IP not whitelisted your current ip is 106.51.91.104.For IP whitelisting assistance, visit our guide"), NotAllowed, "ip_validation_failed", fixAddress},
		{"aadhaar 409", maskAadhaar, 409, said("verification ID already exists"), Duplicate, "verification_id_already_exists", fixDuplicate},
		{"aadhaar 413", maskAadhaar, 413, said("file size exceeded"), Rejected, "", fixSize},
		{"aadhaar 422", maskAadhaar, 422, said("Insufficient balance to process this request."), NoBalance, "insufficient_balance", fixBalance},
		{"aadhaar 500", maskAadhaar, 500, said("something went wrong"), OtherStatus, "", tryLater},

		// Page "Verify Passport".
		{"passport valid", verifyPassport, 200, fmt.Sprintf(passport, "VALID"), Valid, "", advice.Text{}},
		{"passport invalid", verifyPassport, 200, fmt.Sprintf(passport, "INVALID"), Invalid, "", advice.For("invalid_passport")},
		{"passport no id", verifyPassport, 400, said("verification_id is missing in the request."), Rejected, "verification_id_missing", fixID},
		{"passport bad id", verifyPassport, 400, said("verification_id can include only alphanum, dot, hyphen, and underscores."), Rejected, "verification_id_value_invalid", fixID},
		{"passport no file number", verifyPassport, 400, said("file_number is missing in the request."), Rejected, "file_number_missing", fixFileNumber},
		{"passport no dob", verifyPassport, 400, said("dob is missing in the request."), Rejected, "dob_missing", fixDOB},
		{"passport bad dob", verifyPassport, 400, said("dob should be of type YYYY-MM-DD."), Rejected, "dob_value_invalid", fixDOB},
		{"passport test secret", verifyPassport, 400, said("Client secret belongs to test environment."), Credentials, "x-client-secret_value_invalid", fixEnvironment},
		{"passport no client id", verifyPassport, 400, said("x-client-id is missing in the request."), Credentials, "x-client-id_missing", fixHeaders},
		{"passport 401", verifyPassport, 401, said("Invalid clientId and clientSecret combination."), Credentials, "authentication_failed", fixCredentials},
		{"passport 403", verifyPassport, 403, said("IP not whitelisted your current IP is 106.51.91.104. For IP whitelisting assistance, visit our IP Whitelisting guide"), NotAllowed, "ip_validation_failed", fixAddress},
		{"passport 409", verifyPassport, 409, said("verification ID already exists."), Duplicate, "verification_id_already_exists", fixDuplicate},
		{"passport 422", verifyPassport, 422, said("Insufficient balance to process this request."), NoBalance, "insufficient_balance", fixBalance},
		{"passport 500", verifyPassport, 500, said("something went wrong."), OtherStatus, "", tryLater},
		{"passport 502", verifyPassport, 502, said("verification attempt failed."), OtherStatus, "", tryLater},

		// Vendor OpenAPI: the codes, without any message.
		{"code verification_id_missing", maskAadhaar, 400, invalid("verification_id_missing"), Rejected, "verification_id_missing", fixID},
		{"code verification_id_value_invalid", maskAadhaar, 400, invalid("verification_id_value_invalid"), Rejected, "verification_id_value_invalid", fixID},
		{"code verification_id_length_exceeded", maskAadhaar, 400, invalid("verification_id_length_exceeded"), Rejected, "verification_id_length_exceeded", fixID},
		{"code image_missing", maskAadhaar, 400, invalid("image_missing"), Rejected, "image_missing", fixImage},
		{"code file_number_missing", verifyPassport, 400, invalid("file_number_missing"), Rejected, "file_number_missing", fixFileNumber},
		{"code dob_missing", verifyPassport, 400, invalid("dob_missing"), Rejected, "dob_missing", fixDOB},
		{"code dob_value_invalid", verifyPassport, 400, invalid("dob_value_invalid"), Rejected, "dob_value_invalid", fixDOB},
		{"code x-client-id_missing", verifyPassport, 400, invalid("x-client-id_missing"), Credentials, "x-client-id_missing", fixHeaders},
		{"code x-client-secret_missing", verifyPassport, 400, invalid("x-client-secret_missing"), Credentials, "x-client-secret_missing", fixHeaders},
		{"code x-client-secret_value_invalid", verifyPassport, 400, invalid("x-client-secret_value_invalid"), Credentials, "x-client-secret_value_invalid", fixEnvironment},
		{"code authentication_failed", verifyPassport, 401, coded("authentication_error", "authentication_failed", ""), Credentials, "authentication_failed", fixCredentials},
		{"code ip_validation_failed", verifyPassport, 403, coded("authentication_error", "ip_validation_failed", ""), NotAllowed, "ip_validation_failed", fixAddress},
		{"signature missing", verifyPassport, 403, coded("authentication_error", "ip_validation_failed", "x-cf-signature missing in the request header"), NotAllowed, "ip_validation_failed", fixSignature},
		{"signature missing, no code", verifyPassport, 403, said("x-cf-signature missing in the request header"), NotAllowed, "ip_validation_failed", fixSignature},
		{"code verification_id_already_exists", verifyPassport, 409, invalid("verification_id_already_exists"), Duplicate, "verification_id_already_exists", fixDuplicate},
		{"code insufficient_balance", verifyPassport, 422, invalid("insufficient_balance"), NoBalance, "insufficient_balance", fixBalance},
		{"code too_many_requests_per_operation", verifyPassport, 429, coded("rate_limit_error", "too_many_requests_per_operation", ""), RateLimited, "too_many_requests_per_operation", slowDown},
		{"code too_many_requests_per_ip", verifyPassport, 429, coded("rate_limit_error", "too_many_requests_per_ip", ""), RateLimited, "too_many_requests_per_ip", slowDown},
		{"code verification_failed", verifyPassport, 500, coded("internal_error", "verification_failed", "something went wrong"), OtherStatus, "verification_failed", tryLater},
		{"code verification_failed 502", verifyPassport, 502, coded("internal_error", "verification_failed", "verification attempt failed"), OtherStatus, "verification_failed", tryLater},

		// Code before message, message before status; case and space do not matter.
		{"a known code beats a message", verifyPassport, 400, coded("", "dob_missing", "x-client-id is missing in the request"), Rejected, "dob_missing", fixDOB},
		{"a credentials code beats a message", maskAadhaar, 400, coded("", "x-client-id_missing", "image is missing in the request"), Credentials, "x-client-id_missing", fixHeaders},
		{"an unknown code leaves it to the message", maskAadhaar, 400, coded("", "bad_request", "Client  Secret belongs to\ttest environment"), Credentials, "bad_request", fixEnvironment},
		{"another x-client code", maskAadhaar, 400, invalid("x-client-id_value_invalid"), Credentials, "x-client-id_value_invalid", fixHeaders},
		{"400 about the signature", maskAadhaar, 400, said("x-cf-signature is invalid"), Credentials, "", fixSignature},
		{"400 of another kind", maskAadhaar, 400, coded("", "image_blurred", "try again"), Rejected, "image_blurred", fixRequest},
		{"422 of another kind", maskAadhaar, 422, coded("", "image_unreadable", "cannot process"), Rejected, "image_unreadable", fixRequest},
		{"upper-case code", maskAadhaar, 422, invalid("INSUFFICIENT_BALANCE"), NoBalance, "insufficient_balance", fixBalance},
		{"keys in capitals", maskAadhaar, 422, `{"CODE":"insufficient_balance"}`, NoBalance, "insufficient_balance", fixBalance},
		{"404", maskAadhaar, 404, said("no such route"), Rejected, "", fixURL},

		// Errors that are not JSON.
		{"400 html", maskAadhaar, 400, html, Rejected, "", fixRequest},
		{"401 empty", maskAadhaar, 401, "", Undocumented, "", askProxy},
		{"403 html", maskAadhaar, 403, html, Undocumented, "", askProxy},
		{"404 html", maskAadhaar, 404, html, Undocumented, "", askProxy},
		{"404 of a gateway", maskAadhaar, 404, `{"code":5,"message":"Not Found","details":[]}`, Undocumented, "", askProxy},
		{"404 of another API", maskAadhaar, 404, `{"type":"about:blank","title":"Not Found","status":404}`, Undocumented, "", askProxy},
		{"405 html", maskAadhaar, 405, html, Undocumented, "", askProxy},
		{"407 html", maskAadhaar, 407, html, Undocumented, "", askProxy},
		{"415 html", maskAadhaar, 415, html, Undocumented, "", askProxy},
		{"409 empty", maskAadhaar, 409, "", Duplicate, "", fixDuplicate},
		{"413 html", maskAadhaar, 413, html, Rejected, "", fixSize},
		{"422 html", maskAadhaar, 422, html, Rejected, "", fixRequest},
		{"429 html", maskAadhaar, 429, html, RateLimited, "", slowDown},
		{"500 array", maskAadhaar, 500, `["code"]`, OtherStatus, "", tryLater},
		{"502 html", maskAadhaar, 502, html, OtherStatus, "", tryLater},
		{"503", maskAadhaar, 503, html, OtherStatus, "", tryLater},
		{"504", maskAadhaar, 504, "", OtherStatus, "", askVendor},
		{"201", maskAadhaar, 201, okMasked, Unreadable, "", unknownAnswer},
		{"302", maskAadhaar, 302, "", Undocumented, "", askProxy},

		// 401 and 403 with another code than those of the account; the other statuses in the vendor's form.
		{"403 about one call", maskAadhaar, 403, coded("authentication_error", "product_not_enabled", "not enabled for your account"), Undocumented, "product_not_enabled", askProxy},
		{"401 with a type alone", maskAadhaar, 401, coded("authentication_error", "", "token expired"), Undocumented, "", askProxy},
		{"401 documented message", maskAadhaar, 401, `{"message":"Invalid clientId and clientSecret combination"}`, Credentials, "authentication_failed", fixCredentials},
		{"403 about credentials", maskAadhaar, 403, invalid("authentication_failed"), Credentials, "authentication_failed", fixCredentials},
		{"401 about the address", maskAadhaar, 401, invalid("ip_validation_failed"), NotAllowed, "ip_validation_failed", fixAddress},
		{"403 about the balance", maskAadhaar, 403, invalid("insufficient_balance"), NoBalance, "insufficient_balance", fixBalance},
		{"404 with a code", maskAadhaar, 404, invalid("passport_not_found"), Rejected, "passport_not_found", fixURL},
		{"405 with a code", maskAadhaar, 405, invalid("method_not_allowed"), OtherStatus, "method_not_allowed", askVendor},
		{"302 with a code", maskAadhaar, 302, invalid("moved"), OtherStatus, "moved", askVendor},

		// A code that is none.
		{"code is an address", maskAadhaar, 400, invalid("106.51.91.104"), Rejected, "", fixRequest},
		{"code is a number of a person", maskAadhaar, 400, invalid("pa1079341954215"), Rejected, "", fixRequest},
		{"code is a name and a date", maskAadhaar, 400, invalid("usha_maadari_born_1966-12-12"), Rejected, "", fixRequest},
		{"code is a name with a point", maskAadhaar, 400, invalid("usha.maadari"), Rejected, "", fixRequest},
		{"code is an escape sequence", maskAadhaar, 400, invalid("\x1b[31mred"), Rejected, "", fixRequest},
		{"code is a sentence", maskAadhaar, 400, invalid("it went wrong"), Rejected, "", fixRequest},
		{"code is too long", maskAadhaar, 400, invalid(strings.Repeat("a", 65)), Rejected, "", fixRequest},
		{"code is an object", maskAadhaar, 400, `{"code":{"x":1},"message":"image is missing"}`, Rejected, "image_missing", fixImage},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := classify(tt.e, testID, tt.status, []byte(tt.body))
			if f.Class != tt.class || f.Code != tt.code || f.Message != tt.text.Message || f.NextAction != tt.text.NextAction {
				t.Errorf("got %q %q %q %q, want %q %q %+v", f.Class, f.Code, f.Message, f.NextAction, tt.class, tt.code, tt.text)
			}
			mustNotLeak(t, f.Code+f.Message+f.NextAction)
		})
	}
}

// TestOnlyMatchingAnswersCount: a 200 with another id or an unknown status is kept for review.
func TestOnlyMatchingAnswersCount(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		e     endpoint
		body  string
		class Class
		ref   int64
	}{
		"number as reference":         {maskAadhaar, okMasked, Valid, 354768},
		"digits as reference":         {verifyPassport, `{"status":"VALID","verification_id":"ABC00123","reference_id":"1358"}`, Valid, 1358},
		"big reference":               {verifyPassport, `{"status":"VALID","verification_id":"ABC00123","reference_id":9223372036854775807}`, Valid, 9223372036854775807},
		"reference that is none":      {verifyPassport, `{"status":"VALID","verification_id":"ABC00123","reference_id":[1]}`, Valid, 0},
		"negative reference":          {verifyPassport, `{"status":"VALID","verification_id":"ABC00123","reference_id":-4}`, Valid, 0},
		"other case, unknown fields":  {verifyPassport, `{"STATUS":" Valid ","Verification_Id":"ABC00123","x":{"y":[1]}}`, Valid, 0},
		"last of a key given twice":   {verifyPassport, `{"status":"VALID","status":"INVALID","verification_id":"ABC00123"}`, Invalid, 0},
		"either call's invalid":       {verifyPassport, `{"status":"INVALID_DOCUMENT","verification_id":"ABC00123"}`, Invalid, 0},
		"name is an object":           {verifyPassport, `{"status":"VALID","verification_id":"ABC00123","name":{"first":"x"}}`, Valid, 0},
		"another id":                  {maskAadhaar, strings.Replace(okMasked, testID, "ABC00124", 1), Unexpected, 0},
		"an id in other case":         {maskAadhaar, strings.Replace(okMasked, testID, "abc00123", 1), Unexpected, 0},
		"invalid for another id":      {verifyPassport, `{"status":"INVALID","verification_id":"ABC00124"}`, Unexpected, 0},
		"no id":                       {verifyPassport, `{"status":"VALID"}`, Unexpected, 0},
		"null id":                     {verifyPassport, `{"status":"VALID","verification_id":null}`, Unexpected, 0},
		"no link":                     {maskAadhaar, `{"status":"VALID","verification_id":"ABC00123"}`, Unexpected, 0},
		"null link":                   {maskAadhaar, `{"status":"VALID","verification_id":"ABC00123","image_link":null}`, Unexpected, 0},
		"another status":              {maskAadhaar, strings.Replace(okMasked, "VALID", "PENDING", 1), Unexpected, 0},
		"no status":                   {verifyPassport, `{"verification_id":"ABC00123"}`, Unreadable, 0},
		"status is true":              {verifyPassport, `{"status":true,"verification_id":"ABC00123"}`, Unreadable, 0},
		"a number as status":          {verifyPassport, `{"status":404,"error":"Not Found"}`, Unreadable, 0},
		"a status alone":              {verifyPassport, `{"status":"maintenance"}`, Unexpected, 0},
		"html":                        {maskAadhaar, "<html>VALID</html>", Unreadable, 0},
		"empty":                       {maskAadhaar, "", Unreadable, 0},
		"null":                        {maskAadhaar, "null", Unreadable, 0},
		"array":                       {maskAadhaar, "[" + okMasked + "]", Unreadable, 0},
		"two objects":                 {maskAadhaar, okMasked + okMasked, Unreadable, 0},
		"half an object":              {maskAadhaar, okMasked[:len(okMasked)-1], Unreadable, 0},
		"an error body":               {maskAadhaar, `{"code":"insufficient_balance"}`, Unreadable, 0},
		"nested deeper than anything": {maskAadhaar, strings.Repeat("[", 100_000), Unreadable, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := classify(tt.e, testID, 200, []byte(tt.body))
			if f.Class != tt.class || f.ReferenceID != tt.ref {
				t.Errorf("got %q %d, want %q %d", f.Class, f.ReferenceID, tt.class, tt.ref)
			}
			if f.Class == Unexpected && (f.Passport != nil || !f.Image.Empty() || f.Message == "" || f.NextAction == "") {
				t.Errorf("an unexpected answer must carry advice and nothing else: %+v", f)
			}
		})
	}
	if f := classify(verifyPassport, "", 200, []byte(`{"status":"VALID"}`)); f.Class != Unexpected {
		t.Errorf("no id asked, none answered: got %q", f.Class)
	}
}

func TestPassportAnswerCarriesTheVendorsFields(t *testing.T) {
	t.Parallel()
	f := classify(verifyPassport, testID, 200, []byte(`{"verification_id":"ABC00123","reference_id":1358,"status":"VALID",
		"file_number":"ZZ0000SPECIMEN","name":"Specimen Person","dob":"1990-02-28","application_type":"NORMAL","application_received_date":"2003-12-31"}`))
	got := []string{
		f.Passport.FileNumber.Reveal(), f.Passport.Name.Reveal(), f.Passport.DOB.Reveal(),
		f.Passport.ApplicationType.Reveal(), f.Passport.ApplicationReceivedDate.Reveal(),
	}
	if diff := cmp.Diff([]string{"ZZ0000SPECIMEN", "Specimen Person", "1990-02-28", "NORMAL", "2003-12-31"}, got); diff != "" {
		t.Error(diff)
	}
	mustNotLeak(t, fmt.Sprintf("%+v %#v", *f.Passport, *f.Passport))
}

// What a record shows of a passport answer is of a known form.
func TestFieldsThatAreShownAreOfAKnownForm(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "NORMAL": "NORMAL", " Tatkaal ": "TATKAAL", "Specimen Person 1966-12-12": "other", "\x1b[31mNORMAL": "other", "NORMAL\x00": "other", "7": "other",
	} {
		if got := ApplicationType(text); got != want {
			t.Errorf("type %q: got %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"": "", "2003-12-31": "2003-12-31", " 2003-12-31\n": "2003-12-31", "2003-02-31": "", "31-12-2003": "", "PA1079341954215": "",
		"2003-12-31 Specimen": "", "\x1b2003-12-31": "", "２００３-12-31": "",
	} {
		if got := Date(text); got != want {
			t.Errorf("date %q: got %q, want %q", text, got, want)
		}
	}
}

// FuzzClassify: for any answer the class is a known one, Valid and Invalid need a 200, and the safe fields are safe.
func FuzzClassify(f *testing.F) {
	for _, status := range []int{200, 302, 400, 401, 403, 409, 413, 422, 429, 500, 502, 503, 999} {
		f.Add(true, status, []byte(okMasked))
		f.Add(false, status, []byte(`{"type":"t","code":"insufficient_balance","message":"Insufficient balance"}`))
		f.Add(false, status, []byte(`{"status":"VALID","verification_id":"ABC00123","reference_id":"12"}`))
		f.Add(false, status, []byte("<html>"))
	}
	classes := []Class{Valid, Invalid, Unexpected, Unreadable, Credentials, NotAllowed, NoBalance, Rejected, Duplicate, RateLimited, Undocumented, OtherStatus}
	words := map[advice.Text]bool{{}: true, askVendor: true, askProxy: true, unknownAnswer: true, advice.For("invalid_document"): true, advice.For("invalid_passport"): true}
	for _, r := range rules {
		words[r.text()] = true
	}
	f.Fuzz(func(t *testing.T, aadhaar bool, status int, body []byte) {
		e := verifyPassport
		if aadhaar {
			e = maskAadhaar
		}
		got := classify(e, testID, status, body)
		if !slices.Contains(classes, got.Class) {
			t.Fatalf("class %q", got.Class)
		}
		verdict := got.Class == Valid || got.Class == Invalid || got.Class == Unexpected
		if verdict && status != 200 || (verdict || got.Class == Unreadable) != (status >= 200 && status < 300) {
			t.Fatalf("status %d gave %q", status, got.Class)
		}
		if got.Class == Valid && aadhaar == got.Image.Empty() {
			t.Fatal("a link belongs to a valid Aadhaar, and only there")
		}
		if got.Code != "" && checkCode(got.Code) != got.Code {
			t.Fatalf("code %q", got.Code)
		}
		if got.Class != Unexpected && !words[advice.Text{Message: got.Message, NextAction: got.NextAction}] {
			t.Fatalf("words that are not ours: %q %q", got.Message, got.NextAction)
		}
	})
}

// TestEveryDocumentedCodeIsInTheTable covers the codes of the rules and those of the vendor OpenAPI whose status alone
// decides.
func TestEveryDocumentedCodeIsInTheTable(t *testing.T) {
	t.Parallel()
	codes := []string{
		"internal_error", "verification_failed", "too_many_requests_per_operation", "too_many_requests_per_ip",
		"too_many_requests", "rate_limit_error",
	}
	for _, r := range rules {
		if r.code != "" && !strings.HasSuffix(r.code, "*") {
			codes = append(codes, r.code)
		}
	}
	for _, code := range codes {
		if !advice.Known(code) {
			t.Errorf("%s is not in the advice table", code)
		}
	}
}

func TestErrorsOfAProxyAreForeign(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		"": true, "<html>502 Bad Gateway</html>": true, "{}": true, `{"error":"upstream"}`: true, "null": true, `{"message":"Internal server error"}`: true,
		`{"type":"internal_error","code":"verification_failed","message":"verification attempt failed"}`: false,
		`{"type":"internal_error","message":"something went wrong"}`:                                     false,
		`{"code":"internal_error"}`: false,
	} {
		if got := classify(verifyPassport, "A", 502, []byte(body)).Foreign; got != want {
			t.Errorf("%s: foreign is %v", body, got)
		}
	}
	for body, want := range map[string]bool{
		`{"status":"maintenance"}`:                            true,
		`{"status":"VALID","verification_id":"B"}`:            false,
		`{"status":"PENDING","reference_id":7}`:               false,
		`{"status":"VALID","verification_id":"A","name":"S"}`: false,
	} {
		if got := classify(verifyPassport, "A", 200, []byte(body)).Foreign; got != want {
			t.Errorf("200 %s: foreign is %v", body, got)
		}
	}
}
