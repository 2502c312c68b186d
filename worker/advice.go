package worker

import "github.com/kycq/kycq/internal/cashfree"

// advice is our text for a code: what happened, and what a person does next.
type advice struct{ message, next string }

// said is the advice that goes with an answer of Cashfree's: fixed words of the cashfree package, after the vendor's
// tables. The vendor's own message is never shown: it can echo the input or an address, so it stays in the sealed answer.
func said(a answer, next disposition) advice {
	then := a.NextAction
	switch a.Class {
	case cashfree.Credentials, cashfree.NotAllowed, cashfree.NoBalance:
		if next == toHold {
			then += "; then run `kycq fleet resume`"
		} else {
			then += "; then run `kycq job retry`"
		}
	case cashfree.Rejected, cashfree.Invalid:
		then += "; then submit the row under a new verification_id"
	}
	return advice{a.Message, then}
}

// adviceFor knows every code that a record can end with: ours stand in the table below, the vendor's bring their own.
func adviceFor(code, result string, vendors advice) advice {
	if code == "unexpected_status" && result == resultUnknown {
		return advice{
			"Cashfree's gateway gave up waiting (504): the call may have been charged",
			"look the verification_id up in Cashfree's dashboard, then `kycq job retry` if it has no result",
		}
	}
	if a, ok := adviceByCode[code]; ok {
		return a
	}
	if vendors.message != "" {
		return vendors
	}
	return advice{"Cashfree did not accept the request", "see `kycq job show --reveal` for the answer, then `kycq job retry`"}
}

var adviceByCode = map[string]advice{
	// Refusals of the request.
	"duplicate_verification_id": {
		"this verification_id was used at Cashfree before, by something other than this kycq",
		"look it up in Cashfree's dashboard, or submit the row under a unique verification_id",
	},
	"not_found": {"Cashfree does not know the address that was called", "check KYCQ_CASHFREE_URL: it ends in /verification"},

	// Ends of our own.
	"provider_error":        {"Cashfree kept failing, or gave no answer, for all attempts of this run", "try again after some time with `kycq job retry`"},
	"unexpected_status":     {"Cashfree answered with a status that is not documented", "see `kycq job show --reveal` for the answer, then `kycq job retry`"},
	"unexpected_answer":     {"Cashfree's answer is not of the documented form", "see `kycq job show --reveal` for the answer; ask Cashfree's support, quoting the reference_id"},
	"answer_lost":           {"a call may have been charged and its answer did not arrive", "look it up in Cashfree's dashboard; `kycq job retry` buys it again"},
	"unsafe_mask":           {"the masked image failed its check and was quarantined", "a person must look at quarantine/ in the inbox bucket; `kycq job retry` pays for another try"},
	"image_link_refused":    {"Cashfree's image link points where kycq must not fetch from", "ask Cashfree's support; for development see KYCQ_IMAGE_HOSTS"},
	"worker_crash_loop":     {"handling this job ended its worker several times", "check the image by hand and submit a re-saved copy under a new verification_id"},
	"image_not_found":       {"the image is not in the bucket", "upload the image again and retry the job"},
	"sealed_input_broken":   {"the stored input cannot be opened: it was changed or belongs to another job", "submit the row again under a new verification_id"},
	"input_invalid":         {"the stored input is not a valid one", "submit a corrected row under a new verification_id"},
	"derived_ids_exhausted": {"no further derived ids are left for this job", "submit the row under a new verification_id"},
	"cancelled":             {"the batch was cancelled before this row was called", "`kycq batch submit --amend` submits it again"},

	// Reasons to wait.
	"key_missing":          {"the worker's keyset lacks the key that this job was sealed with", "give the workers the current keyset: `kycq keys status` tells the key ids"},
	"input_not_reachable":  {"the image's bucket refuses kycq", "allow the workers' credentials to read it"},
	"cashfree_unreachable": {"Cashfree cannot be reached: nothing was sent", "nothing if it passes; else check the network, DNS and KYCQ_CASHFREE_URL with `kycq doctor`"},
	"rate_limited":         {"Cashfree asked to slow down", "nothing: the fleet waits"},
	"interrupted":          {"the worker was stopped before the call", "nothing: another worker takes it"},
	"vendor_id_consumed":   {"Cashfree uses up ids by failed calls", "nothing: it goes on under a derived id"},
	"answer_unknown":       {"the request left, but no whole answer came", "nothing: it is sent again with the same id"},

	// Reasons of image checks (see tasks.ValidateImage).
	"image_empty":           {"the image is empty", "upload the image again under a new verification_id"},
	"image_too_large":       {"the image is larger than 10 MB", "upload an image of at most 10 MB"},
	"image_is_pdf":          {"the file is a PDF", "upload a photo or scan of the card as JPEG or PNG"},
	"image_type_invalid":    {"the file is neither JPEG nor PNG", "upload a photo or scan of the card as JPEG or PNG"},
	"image_header_invalid":  {"the image's header cannot be read", "save the image again and upload it"},
	"image_too_many_pixels": {"the image has over 40 megapixels", "scale the image down and upload it"},
}
