// Package advice is the one table of codes: for each code of Cashfree's documentation and of kycq's own, what happened and
// what to do next.
//
// Cashfree's own messages are never shown, because they can repeat the input or an IP address.
package advice

import (
	"maps"
	"slices"
	"strings"
)

// Text explains a code. It holds no personal data and is safe to store, log and show.
type Text struct {
	Message    string // what happened
	NextAction string // what to do about it
}

// Then adds a second step to the next action.
func (t Text) Then(step string) Text {
	t.NextAction += "; then " + step
	return t
}

// Charged adds that a call of the job may have been charged, unless the text says so.
func (t Text) Charged() Text {
	if !strings.Contains(t.Message, "may have been charged") {
		t.Message += "; a call of this job may have been charged, but its answer did not arrive"
		t.NextAction += "; before a retry, look the job up in Cashfree's dashboard"
	}
	return t
}

// For returns the text for a code: a general one if the code is not in the table, none for the empty code.
func For(code string) Text {
	return texts[Listed(code)]
}

// Unlisted replaces a code that the table does not have, outside of the record.
const Unlisted = "other"

// Listed returns the code if the table has it or it is empty, and Unlisted for any other. Other codes come from outside and may
// hold anything: they belong in the record only, not in a log, a metric's label, Redis or on the dashboard.
func Listed(code string) string {
	if code == "" || Known(code) {
		return code
	}
	return Unlisted
}

// Known reports whether the table has the code.
func Known(code string) bool {
	_, ok := texts[code]
	return ok && code != ""
}

// Codes lists the codes of the table.
func Codes() []string {
	codes := slices.Sorted(maps.Keys(texts))
	return slices.DeleteFunc(codes, func(code string) bool { return code == "" || code == Unlisted })
}

// Retrying is the next action for a job that is retried by itself.
const Retrying = "none: kycq tries again"

// Next actions that several codes share.
const (
	none      = "none: kycq continues by itself"
	newID     = "submit the row under a new verification_id"
	Later     = "try again after some time"
	seeAnswer = "see the answer with `kycq job show --reveal`, then run `kycq job retry`"
)

var texts = map[string]Text{
	"":       {},
	Unlisted: {"Cashfree did not accept the request", seeAnswer},

	// Cashfree: the account.
	"x-client-id_missing":           {"a required header is missing or invalid", "configure the client id and the client secret"},
	"x-client-secret_missing":       {"a required header is missing or invalid", "configure the client id and the client secret"},
	"x-client-secret_value_invalid": {"the client secret belongs to the test environment", "configure the credentials of this environment, or change KYCQ_CASHFREE_URL"},
	"authentication_failed":         {"the client id and the client secret do not belong together", "configure a valid client id and client secret"},
	"x-cf-signature_invalid":        {"the request's signature is missing or wrong", "configure the account's public key, or choose IP whitelisting in Cashfree's dashboard"},
	"ip_validation_failed":          {"this machine's IP address is not whitelisted", "whitelist the IP address in Cashfree's dashboard"},
	"insufficient_balance":          {"the account's balance is too low", "top up the balance"},

	// Cashfree: the request.
	"verification_id_missing":         {"verification_id is missing, too long or has characters that are not allowed", "use 1 to 50 letters, digits, periods, hyphens and underscores"},
	"verification_id_value_invalid":   {"verification_id is missing, too long or has characters that are not allowed", "use 1 to 50 letters, digits, periods, hyphens and underscores"},
	"verification_id_length_exceeded": {"verification_id is missing, too long or has characters that are not allowed", "use 1 to 50 letters, digits, periods, hyphens and underscores"},
	"verification_id_already_exists":  {"the verification_id was used before", "use a new verification_id"},
	"image_missing":                   {"the image is missing", "upload the image of the Aadhaar card"},
	"file_number_missing":             {"file_number is missing or invalid", "enter the file number"},
	"dob_missing":                     {"dob is missing or not a date", "enter the date of birth as YYYY-MM-DD"},
	"dob_value_invalid":               {"dob is missing or not a date", "enter the date of birth as YYYY-MM-DD"},
	"file_size_exceeded":              {"the file is too large", "send an image of at most 10 MB"},
	"request_rejected":                {"Cashfree rejected the request", "look at the code and correct the input"},
	"not_found":                       {"Cashfree does not know the URL that was called", "check KYCQ_CASHFREE_URL: it ends in /verification"},
	"invalid_document":                {"the image is not a readable Aadhaar", "upload a valid copy of the Aadhaar"},
	"invalid_passport":                {"file number and date of birth do not belong to a passport", "enter the correct information"},

	// Cashfree: the service.
	"internal_error":                  {"an internal error occurred", Later},
	"verification_failed":             {"Cashfree could not process the request", Later},
	"rate_limited":                    {"Cashfree's rate limit was reached", none},
	"rate_limit_error":                {"Cashfree's rate limit was reached", none},
	"too_many_requests":               {"Cashfree's rate limit was reached", none},
	"too_many_requests_per_ip":        {"Cashfree's rate limit was reached", none},
	"too_many_requests_per_operation": {"Cashfree's rate limit was reached", none},

	// How a job ends, apart from an answer of Cashfree's.
	"provider_error":            {"Cashfree failed, or did not answer, in every attempt of this run", "try again after some time with `kycq job retry`"},
	"unexpected_status":         {"Cashfree answered with an HTTP status that is not documented", seeAnswer},
	"undocumented_answer":       {"the answer is not one that Cashfree documents; it may come from a firewall or proxy", "check KYCQ_CASHFREE_URL, and the firewalls and proxies on the way"},
	"gateway_timeout":           {"Cashfree's gateway timed out (504): the call may have been charged", "look up the verification_id in Cashfree's dashboard; if it has no result, run `kycq job retry`"},
	"unexpected_answer":         {"Cashfree's answer does not have the documented form", "see the answer with `kycq job show --reveal`, and ask Cashfree's support, quoting the reference_id"},
	"duplicate_verification_id": {"this verification_id was used at Cashfree before, but not by this kycq", "look it up in Cashfree's dashboard, or submit the row under a new verification_id"},
	"answer_lost":               {"a call may have been charged, but its answer did not arrive", "look it up in Cashfree's dashboard; `kycq job retry` pays for it again"},
	"unsafe_mask":               {"the masked image failed the check and was quarantined", "look at it with `kycq review show` and decide with `kycq review approve` or `reject`, which cost nothing; `kycq job retry` pays for another attempt"},
	"image_link_refused":        {"kycq must not fetch Cashfree's image link: its host has no public address, or the link is redirected", "see the worker's log; a proxy or firewall may answer instead (`kycq doctor`, KYCQ_IMAGE_PROXY, KYCQ_IMAGE_HOSTS); else ask Cashfree's support"},
	"worker_crash_loop":         {"processing this job crashed its worker several times", "inspect the image, and submit a re-saved copy under a new verification_id"},
	"image_place_refused":       {"the image is in a place that no image may come from", "list its bucket in KYCQ_IMAGE_BUCKETS of all processes, or upload the image; then run `kycq job retry`"},
	"image_changed":             {"the image in the bucket is not the one that was accepted: it was replaced", "find out who can write to the bucket, and submit the image under a new verification_id"},
	"image_not_found":           {"the image is not in the bucket", "upload the image again, then run `kycq job retry`"},
	"sealed_input_broken":       {"the stored input cannot be decrypted: it was changed or belongs to another job", newID},
	"input_invalid":             {"the stored input is not valid", "submit a corrected row under a new verification_id"},
	"derived_ids_exhausted":     {"no further derived ids are left for this job", newID},
	"different_input":           {"this verification_id belongs to a job with a different input", newID + " (batch failures --new-ids; for derived ids, --ids-for)"},
	"cancelled":                 {"the job or its batch was cancelled before a result", "`kycq job retry` runs the job again, `kycq batch amend` the rows of a batch"},

	// The image check before the call: see tasks.ValidateImage.
	"image_empty":           {"the image is empty", "upload the image again under a new verification_id"},
	"image_too_large":       {"the image is larger than 10 MB", "upload an image of at most 10 MB under a new verification_id"},
	"image_is_pdf":          {"the file is a PDF", "upload a photo or scan of the card as JPEG or PNG under a new verification_id"},
	"image_type_invalid":    {"the file is neither JPEG nor PNG", "upload a photo or scan of the card as JPEG or PNG under a new verification_id"},
	"image_header_invalid":  {"the image's header cannot be read", "save the image again and upload it under a new verification_id"},
	"image_too_many_pixels": {"the image has more than 40 megapixels", "scale the image down and upload it under a new verification_id"},

	// Why a job waits.
	"key_missing":            {"the worker's keyset lacks the key that this job was sealed with", "give the workers the current keyset: `kycq keys status` lists the key ids"},
	"input_not_reachable":    {"the image's bucket denies access", "allow the workers' credentials to read the bucket"},
	"image_not_fetched":      {"the masked image cannot be fetched at the moment", "none if it passes; else see the worker's log and run `kycq doctor`"},
	"cashfree_unreachable":   {"Cashfree cannot be reached: nothing was sent", "none if it passes; else check the network, DNS and KYCQ_CASHFREE_URL with `kycq doctor`"},
	"storage_denied":         {"S3 refuses access: a permission is missing, or the credentials are wrong", "run `kycq doctor`, which names the permission, and grant it"},
	"storage_unreachable":    {"S3 cannot be reached", "none if it passes; else run `kycq doctor`"},
	"storage_slow":           {"S3 takes so long to write that the call was not made", "none if it passes; else run `kycq doctor`"},
	"redis_unreachable":      {"Redis cannot be reached", "none if it passes; else run `kycq doctor`"},
	"mask_check_unreachable": {"the check of the masked image failed to run", "none if it passes; else see the worker's log"},
	"answer_unknown":         {"the request was sent, but its answer is unknown", "none: kycq sends it again with the same id"},
	"vendor_id_consumed":     {"a failed call used up the id at Cashfree", "none: kycq continues under a derived id"},
	"answer_reissued":        {"the answer of a call was lost", "none: kycq buys it again under a derived id"},
	"interrupted":            {"the worker was stopped before the call", none},
	"deadline_too_close":     {"too little of the task's time was left for a call", none},
	"call_in_flight":         {"another worker's call may be in flight", none},
	"record_contended":       {"other workers changed the record at the same time", none},
	"previous_run_open":      {"the previous run of the job is not finished", none},
	"batch_paused":           {"the batch is paused", "resume it with `kycq batch resume`"},
	"call_limit_reached":     {"the batch has made all the calls that it may make", "raise the limit with `kycq batch resume --max-calls`"},
	"run_not_asked":          {"neither the record nor the batch asks for this run of the job", "find out who else can write to Redis"},
	"superseded":             {"a later run of the job has begun", none},
	"paused":                 {"an operator has paused the calls", "run `kycq fleet resume`"},
	"held":                   {"the account or the kind is on hold", "see `kycq fleet status`"},
	"probing":                {"a test call decides whether a hold or an open breaker ends", none},
	"breaker":                {"Cashfree keeps failing: calls of this kind are paused for a while", none},
	"restoring":              {"Redis is new or has lost data: workers restore the installation's name and the pauses before any call", "none if it passes; else run `kycq doctor`"},
	"panic":                  {"the worker failed on this job", "see the worker's log"},
	"payload_version":        {"the task in Redis has a newer version than this worker knows", "upgrade the workers; if no newer kycq is in use, find out who else can write to Redis"},
	"feed_continues":         {"the batch has more rows to feed", none},
}
