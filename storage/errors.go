package storage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// What can go wrong, for errors.Is. Everything else is wrapped as it is and is a fault of the store's.
var (
	ErrNotFound = errors.New("not found in S3")
	ErrNoBucket = errors.New("bucket does not exist")
	// ErrExists: a create found another writer's object.
	ErrExists = errors.New("already exists")
	// ErrConflict: a swap found that the object has changed or is gone. Read again and decide again.
	ErrConflict = errors.New("changed by another writer")
	// ErrDenied: wrong or missing credentials, a missing permission, or a clock that is off.
	ErrDenied = errors.New("access to S3 denied")
	// ErrUnreachable: no whole answer came in time, or the store says that it cannot serve (5xx).
	ErrUnreachable = errors.New("S3 is not reachable")
	// ErrUncertain: a conditional write got no answer, and reading back did not settle whether it happened; it may even
	// still happen. Treat it as a fault of S3 and begin again from a fresh read; never act as if it had been written.
	ErrUncertain = errors.New("not known whether the write happened")
	// ErrNoConditions: the store ignores or refuses conditional writes, without which kycq could pay twice.
	ErrNoConditions = errors.New("the store does not honour conditional writes (If-None-Match, If-Match)")
	// ErrNotUploaded: the image to be deleted is not one that kycq put into the inbox bucket that it is configured with.
	ErrNotUploaded = errors.New("the image is not one that kycq put into the inbox bucket")
	// ErrVersion: the record was written by a later kycq.
	ErrVersion = errors.New("unknown record version")
)

// errTooSlow is the cause with which kycq's own limits end a call, as opposed to the caller's context.
var errTooSlow = errors.New("no answer in time")

// advice tells what to do about the codes by which S3 refuses a request's credentials.
var advice = map[string]string{
	"InvalidAccessKeyId":           "the access key id is not known there: check AWS_ACCESS_KEY_ID",
	"SignatureDoesNotMatch":        "the secret key does not fit the access key id: check AWS_SECRET_ACCESS_KEY",
	"ExpiredToken":                 "the temporary credentials have expired",
	"InvalidToken":                 "the session token is not valid: check AWS_SESSION_TOKEN",
	"RequestTimeTooSkewed":         "this machine's clock differs too much from the store's",
	"AuthorizationHeaderMalformed": "the region does not fit: check KYCQ_S3_REGION",
	"PermanentRedirect":            "the bucket lives in another region: check KYCQ_S3_REGION",
	"MovedPermanently":             "the bucket lives in another region: check KYCQ_S3_REGION",
	"AccessDenied":                 "the credentials lack a permission (s3:ListBucket, GetObject, PutObject, PutObjectTagging, DeleteObject)",
	"AllAccessDisabled":            "the account or bucket is disabled",
	"Forbidden":                    "wrong credentials, or they lack a permission",
	"AccountProblem":               "the account has a problem",
}

// classify names an SDK error by the errors above. parent is the caller's context, without kycq's own limits: when it has
// ended, that is the error. The texts hold operation, bucket, code and network fault; never a key's URL with its
// signature, never a body.
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
	case status >= http.StatusInternalServerError:
		return fmt.Errorf("%s: %w: it answered %s", op, ErrUnreachable, named(status, code))
	}
	return fmt.Errorf("%s: bucket %q: S3 answered %s", op, bucket, named(status, code))
}

// unnameable are the codes of a store that cannot hold an object of such a key, so that none is there.
var unnameable = map[string]bool{"KeyTooLongError": true, "InvalidObjectName": true, "XMinioInvalidObjectName": true}

func explain(status int, code string) string {
	if text := advice[code]; text != "" {
		return text
	}
	return named(status, code)
}

func named(status int, code string) string {
	if code == "" {
		return fmt.Sprintf("HTTP status %d", status)
	}
	return fmt.Sprintf("%s (HTTP status %d)", code, status)
}

// answerOf returns the HTTP status and the S3 code of an error; status 0 when no answer came.
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

// faultOf strips the request's URL and the SDK's chain from a transport error.
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
