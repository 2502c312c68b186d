package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// vendorError is a row of the vendor's tables: {"type","code","message"} under an HTTP status. Types, codes and
// messages are those of Cashfree's pages and OpenAPI examples, unless marked "chosen".
type vendorError struct {
	Status  int    `json:"-"`
	Type    string `json:"type"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (e vendorError) body() []byte {
	b, err := json.Marshal(e)
	if err != nil { // three strings always marshal
		panic(err)
	}
	return b
}

func badRequest(code, message string) *vendorError {
	return &vendorError{http.StatusBadRequest, "validation_error", code, message}
}

var (
	errClientIDMissing     = badRequest("x-client-id_missing", "x-client-id is missing in the request.")
	errClientSecretMissing = badRequest("x-client-secret_missing", "x-client-secret is missing in the request.")
	errTestSecret          = badRequest("x-client-secret_value_invalid", "Client secret belongs to test environment")
	errIDMissing           = badRequest("verification_id_missing", "verification_id is missing in the request.")
	errIDCharacters        = badRequest("verification_id_value_invalid", "verification_id can include only alphanum, dot, hyphen and underscores.")
	errIDLength            = badRequest("verification_id_length_exceeded", "verification_id can include a maximum of 50 characters.")
	errImageMissing        = badRequest("image_missing", "image is missing in the request")
	errFileNumberMissing   = badRequest("file_number_missing", "file_number is missing in the request.")
	errDOBMissing          = badRequest("dob_missing", "dob is missing in the request.")
	errDOBForm             = badRequest("dob_value_invalid", "dob should be of type YYYY-MM-DD.")
	// Chosen: only JPEG, JPG and PNG are documented, not the answer to a PDF.
	errImageType = badRequest("image_value_invalid", "image should be of type JPEG, JPG or PNG.")
	// Chosen: the answer to a body that is not a JSON object is not documented.
	errBodyForm = badRequest("request_body_invalid", "request body should be a JSON object.")

	errCredentials = &vendorError{
		http.StatusUnauthorized, "authentication_error", "authentication_failed",
		"Invalid clientId and clientSecret combination",
	}
	errSignatureMissing = &vendorError{
		http.StatusForbidden, "validation_error", "authentication_failed",
		"x-cf-signature missing in the request header",
	}
	// Chosen: the message for a wrong signature.
	errSignatureInvalid = &vendorError{
		http.StatusForbidden, "authentication_error", "authentication_failed",
		"x-cf-signature in the request header is not valid",
	}
	errIDTaken = &vendorError{
		http.StatusConflict, "validation_error", "verification_id_already_exists",
		"verification ID already exists",
	}
	// Chosen: the code; the pages give the status and the message.
	errTooLarge = &vendorError{
		http.StatusRequestEntityTooLarge, "validation_error", "file_size_exceeded",
		"file size exceeded",
	}
	errBalance = &vendorError{
		http.StatusUnprocessableEntity, "validation_error", "insufficient_balance",
		"Insufficient balance to process this request.",
	}
	errRate = &vendorError{
		http.StatusTooManyRequests, "rate_limit_error", "too_many_requests_per_operation",
		"Too many requests for this operation, rate limit reached",
	}
	errRatePerIP = &vendorError{
		http.StatusTooManyRequests, "rate_limit_error", "too_many_requests_per_ip",
		"Too many requests from the IP, rate limit reached",
	}
	errInternal = &vendorError{
		http.StatusInternalServerError, "internal_error", "verification_failed",
		"something went wrong",
	}
	errGateway = &vendorError{
		http.StatusBadGateway, "internal_error", "verification_failed",
		"verification attempt failed",
	}
	errNoRoute  = &vendorError{http.StatusNotFound, "not_found_error", "path_not_found", "no such path"}                    // chosen
	errNoMethod = &vendorError{http.StatusMethodNotAllowed, "validation_error", "method_not_allowed", "method not allowed"} // chosen
)

// errIP echoes the caller's address, as the vendor does.
func errIP(address string) *vendorError {
	return &vendorError{
		http.StatusForbidden, "authentication_error", "ip_validation_failed",
		fmt.Sprintf("IP not whitelisted your current ip is %s. For IP whitelisting assistance, visit our guide at "+
			"https://www.cashfree.com/docs/secure-id/get-started/integration/ip-whitelisting-verification", address),
	}
}

// catalogue lists the answers of status faults; the first of a status is the default.
func catalogue(caller string) []*vendorError {
	return []*vendorError{
		errBodyForm, errClientIDMissing, errClientSecretMissing, errTestSecret, errIDMissing, errIDCharacters, errIDLength,
		errImageMissing, errImageType, errFileNumberMissing, errDOBMissing, errDOBForm,
		errCredentials, errIP(caller), errSignatureMissing, errIDTaken, errTooLarge, errBalance, errRate, errRatePerIP,
		errInternal, errGateway,
	}
}

// scriptedError returns the vendor's error of that status, and code if given. A status that the vendor does not document gets
// a body of the vendor's form with the number only.
func scriptedError(status int, code, caller string) vendorError {
	e := vendorError{status, "api_error", fmt.Sprintf("http_%d", status), http.StatusText(status)}
	found := false
	for _, known := range catalogue(caller) {
		switch {
		case known.Status != status:
		case known.Code == code:
			return *known
		case !found:
			e, found = *known, true
		}
	}
	if code != "" {
		e.Code = code
	}
	return e
}
