package objects

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// Errors of a bucket, for errors.Is. Other errors are failures of the store.
var (
	ErrNotFound = errors.New("not found in S3")
	ErrNoBucket = errors.New("bucket does not exist")
	// ErrExists: another writer has created the object.
	ErrExists = errors.New("already exists")
	// ErrConflict: the object has changed or is gone since it was read. Read it again.
	ErrConflict = errors.New("changed by another writer")
	// ErrDenied: wrong or missing credentials, a missing permission, or a clock that is off.
	ErrDenied = errors.New("access to S3 denied")
	// ErrUnreachable: no complete response came in time, or the store failed (5xx).
	ErrUnreachable = errors.New("S3 is not reachable")
	// ErrUncertain: a conditional write got no response, and the stored object did not show whether it happened; it may still
	// happen. Treat it as a failure of S3 and start again with a new read.
	ErrUncertain = errors.New("not known whether the write happened")
	// ErrPublic: everybody can read or change the bucket, without credentials.
	ErrPublic = errors.New("bucket is open to everybody")
	// ErrRegion: the bucket is in a region that is not allowed.
	ErrRegion = errors.New("bucket is outside of the allowed regions")
	// ErrNoConditions: the store ignores or refuses conditional writes, without which kycq could pay twice.
	ErrNoConditions = errors.New("the store does not honour conditional writes (If-None-Match, If-Match)")
)

// errTooSlow is the cause of a context that one of kycq's own limits has ended.
var errTooSlow = errors.New("no answer in time")

// advice says what to do about the codes with which S3 refuses access.
var advice = map[string]string{
	"InvalidAccessKeyId":           "the store does not know the access key id: check AWS_ACCESS_KEY_ID",
	"SignatureDoesNotMatch":        "the secret key does not belong to the access key id: check AWS_SECRET_ACCESS_KEY",
	"ExpiredToken":                 "the temporary credentials have expired",
	"InvalidToken":                 "the session token is not valid: check AWS_SESSION_TOKEN",
	"RequestTimeTooSkewed":         "this machine's clock differs too much from the store's",
	"AuthorizationHeaderMalformed": "the region is wrong: check KYCQ_S3_REGION",
	"PermanentRedirect":            "the bucket is in another region: check KYCQ_S3_REGION",
	"MovedPermanently":             "the bucket is in another region: check KYCQ_S3_REGION",
	"AccessDenied": "the credentials lack a permission (s3:ListBucket, GetObject, PutObject, PutObjectTagging, DeleteObject), " +
		"or the bucket requires an encryption header (KYCQ_S3_SSE)",
	"AllAccessDisabled": "the account or bucket is disabled",
	"Forbidden":         "wrong credentials, or they lack a permission",
	"AccountProblem":    "the account has a problem",
}

// classify wraps an SDK error in one of the errors above, or in that of parent, the caller's context, if it has ended. The
// texts contain operation, bucket, code and network error, never a signed URL or a body.
func classify(parent context.Context, op, bucket string, err error) error {
	if err == nil {
		return nil
	}
	if ctxErr := parent.Err(); ctxErr != nil {
		return fmt.Errorf("%s: %w", op, ctxErr)
	}
	if errors.Is(err, errNoCredentials) {
		return fmt.Errorf("%s: %w: %w", op, ErrDenied, errNoCredentials)
	}
	status, code := answerOf(err)
	switch {
	case status == 0:
		return fmt.Errorf("%s: %w: %w", op, ErrUnreachable, faultOf(err))
	case code == "NoSuchBucket":
		return fmt.Errorf("%s: %w: %q: create it with: kycq storage init", op, ErrNoBucket, bucket)
	case status == http.StatusNotFound, unnameable[code]:
		return fmt.Errorf("%s: %w", op, ErrNotFound)
	case status == http.StatusForbidden, status == http.StatusUnauthorized, advice[code] != "":
		return fmt.Errorf("%s: %w: bucket %q: %s", op, ErrDenied, bucket, explain(status, code))
	case status >= http.StatusInternalServerError && status != http.StatusNotImplemented:
		return fmt.Errorf("%s: %w: it responded with %s", op, ErrUnreachable, explain(status, code))
	}
	return fmt.Errorf("%s: bucket %q: S3 responded with %s", op, bucket, explain(status, code))
}

// unnameable are the codes for keys that the store does not support, so there is no such object.
var unnameable = map[string]bool{"KeyTooLongError": true, "InvalidObjectName": true, "XMinioInvalidObjectName": true}

// explain says what to do about a refusal if it is known, else names it.
func explain(status int, code string) string {
	switch {
	case advice[code] != "":
		return advice[code]
	case code == "":
		return fmt.Sprintf("HTTP status %d", status)
	}
	return fmt.Sprintf("%s (HTTP status %d)", code, status)
}

// answerOf returns the HTTP status and the S3 code of an error; status 0 if no response came.
func answerOf(err error) (status int, code string) {
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) && answer.Response != nil {
		status = answer.HTTPStatusCode()
	}
	return status, code
}

// faultOf removes the request's URL and the SDK's wrapping from a transport error.
func faultOf(err error) error {
	var sent *url.Error
	if errors.As(err, &sent) {
		err = sent.Err
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, errTooSlow) {
		return errTooSlow
	}
	var op *smithy.OperationError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
