package worker

import (
	"cmp"

	"github.com/kycq/kycq/tasks"
)

// advice is our text for a code: what happened, and what a person does next. Vendor facts are from the "Next action"
// column of the vendor's pages for the two calls.
type advice struct{ message, next string }

// adviceFor knows every code that a record can end with. The vendor's own message is never shown: it can echo the input
// or an address, so it stays in the sealed answer.
func adviceFor(kind tasks.Kind, code string, result string) advice {
	if code == "unexpected_status" && result == resultUnknown {
		return advice{
			"Cashfree's gateway gave up waiting (504): the call may have been charged",
			"look the verification_id up in Cashfree's dashboard, then `kycq job retry` if it has no result",
		}
	}
	if a, ok := adviceByCode[code]; ok {
		return a
	}
	return advice{
		"Cashfree refused the request",
		cmp.Or(refusedNext[kind], "correct the request and retry the job"),
	}
}

var refusedNext = map[tasks.Kind]string{
	tasks.Aadhaar:  "check the image and the verification_id, then submit a corrected row under a new id",
	tasks.Passport: "check file_number, dob and the verification_id, then submit a corrected row under a new id",
}

var adviceByCode = map[string]advice{
	// Outcomes of a check.
	"invalid_document": {"Cashfree found no valid Aadhaar in the image", "upload a valid copy of the Aadhaar under a new verification_id"},
	"invalid_passport": {"Cashfree found no passport application with these details", "correct file_number, dob or name, and submit under a new verification_id"},

	// Refusals of the request.
	"verification_id_missing":         {"Cashfree saw no verification_id", "report this: kycq always sends one"},
	"verification_id_value_invalid":   {"Cashfree does not take this verification_id", "use only letters, digits, dot, hyphen and underscore"},
	"verification_id_length_exceeded": {"Cashfree finds the verification_id too long", "use at most 50 characters"},
	"verification_id_already_exists":  {"this verification_id was used at Cashfree before", "submit the row under a unique verification_id"},
	"duplicate_verification_id": {
		"this verification_id was used at Cashfree before, by something other than this kycq",
		"look it up in Cashfree's dashboard, or submit the row under a unique verification_id",
	},
	"image_missing":       {"Cashfree saw no image", "upload the image of the Aadhaar that needs masking and retry the job"},
	"file_number_missing": {"Cashfree saw no file number", "enter the file number and submit again"},
	"dob_missing":         {"Cashfree saw no date of birth", "enter the date of birth and submit again"},
	"dob_value_invalid":   {"Cashfree does not take this date of birth", "enter it as YYYY-MM-DD and submit again"},
	"file_size_exceeded":  {"the image is larger than Cashfree takes", "upload an image of at most 10 MB"},
	"not_found":           {"Cashfree does not know the address that was called", "check KYCQ_CASHFREE_URL: it ends in /verification"},
	"request_rejected":    {"Cashfree refused the request", "correct the row and submit it under a new verification_id"},

	// Refusals of the account.
	"x-client-id_missing":           {"Cashfree saw no x-client-id", "set KYCQ_CASHFREE_CLIENT_ID, then `kycq fleet resume`"},
	"x-client-secret_missing":       {"Cashfree saw no x-client-secret", "set KYCQ_CASHFREE_CLIENT_SECRET, then `kycq fleet resume`"},
	"x-client-secret_value_invalid": {"the client secret is not one of this environment", "set the credentials of the environment that KYCQ_CASHFREE_URL names, then `kycq fleet resume`"},
	"authentication_failed":         {"Cashfree refused the client id and secret", "set a valid client id and secret, then `kycq fleet resume`"},
	"ip_validation_failed":          {"Cashfree refused this machine's address or signature", "whitelist the workers' IP address in Cashfree's dashboard (and check KYCQ_CASHFREE_PUBLIC_KEY if signatures are on), then `kycq fleet resume`"},
	"insufficient_balance":          {"the Cashfree account has no balance left", "top up the account, then `kycq fleet resume`"},

	// Ends of our own.
	"provider_error":      {"Cashfree kept failing, or gave no answer, for all attempts of this run", "try again after some time with `kycq job retry`"},
	"unexpected_status":   {"Cashfree answered with a status that is not documented", "see `kycq job show --reveal` for the answer, then `kycq job retry`"},
	"unexpected_answer":   {"Cashfree's answer is not of the documented form", "see `kycq job show --reveal` for the answer; ask Cashfree's support, quoting the reference_id"},
	"answer_lost":         {"a call may have been charged and its answer did not arrive", "look it up in Cashfree's dashboard; `kycq job retry` buys it again"},
	"answer_unknown":      {"the request left, but no whole answer came", "nothing: it is sent again with the same id"},
	"unsafe_mask":         {"the masked image failed its check and was quarantined", "a person must look at quarantine/ in the inbox bucket; `kycq job retry` pays for another try"},
	"image_link_refused":  {"Cashfree's image link points where kycq must not fetch from", "ask Cashfree's support; for development see KYCQ_IMAGE_HOSTS"},
	"poison":              {"handling this job ended its worker several times", "check the image by hand and submit a re-saved copy under a new verification_id"},
	"image_not_found":     {"the image is not in the bucket", "upload the image again and retry the job"},
	"sealed_input_broken": {"the stored input cannot be opened: it was changed or belongs to another job", "submit the row again under a new verification_id"},
	"input_invalid":       {"the stored input is not a valid one", "submit a corrected row under a new verification_id"},
	"provider_ids_spent":  {"no further derived ids are left for this job", "submit the row under a new verification_id"},
	"cancelled":           {"the batch was cancelled before this row was called", "`kycq batch submit --amend` submits it again"},

	// Reasons of image checks (see tasks.ValidateImage).
	"image_empty":           {"the image is empty", "upload the image again under a new verification_id"},
	"image_too_large":       {"the image is larger than 10 MB", "upload an image of at most 10 MB"},
	"image_is_pdf":          {"the file is a PDF", "upload a photo or scan of the card as JPEG or PNG"},
	"image_type_invalid":    {"the file is neither JPEG nor PNG", "upload a photo or scan of the card as JPEG or PNG"},
	"image_header_invalid":  {"the image's header cannot be read", "save the image again and upload it"},
	"image_too_many_pixels": {"the image has over 40 megapixels", "scale the image down and upload it"},
}
