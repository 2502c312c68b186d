package tasks

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kycq/kycq/internal/forms"
)

// InvalidError says which field of a job is wrong and how. It never quotes the field's value.
type InvalidError struct {
	Field   string // as in the JSON: verification_id, image, file_number, dob, name, lane, ...
	Code    string // stable, for rejects files and programs, for example dob_value_invalid
	Message string // completes "<field> ..."
}

func (e *InvalidError) Error() string { return e.Field + " " + e.Message }

var (
	fileNumberForm = regexp.MustCompile(`^[A-Za-z0-9]{1,20}$`)
	earliestDOB    = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
)

// maxNameLength bounds the optional name, in bytes; Cashfree documents no limit.
const maxNameLength = 200

// Validate checks everything that can be checked without the image's bytes (see ValidateImage). The error is an
// *InvalidError.
func (j Job) Validate() error {
	if _, err := ParseKind(string(j.Kind)); err != nil {
		return &InvalidError{Field: "kind", Code: "kind_invalid", Message: "must be aadhaar or passport"}
	}
	if err := ValidateID(j.VerificationID); err != nil {
		return err
	}
	if j.Lane != "" {
		if _, err := ParseLane(string(j.Lane)); err != nil {
			return &InvalidError{Field: "lane", Code: "lane_invalid", Message: "must be live or bulk"}
		}
	}
	if j.Run < 0 {
		return &InvalidError{Field: "run", Code: "run_invalid", Message: "must be 1 or more"}
	}
	if j.Kind == Aadhaar {
		if j.Input.Image == nil || j.Input.Passport != nil {
			return &InvalidError{Field: "image", Code: "image_missing", Message: "is missing: an aadhaar job takes a reference to an image in S3"}
		}
		return j.Input.Image.Validate()
	}
	if j.Input.Passport == nil || j.Input.Image != nil {
		return &InvalidError{Field: "passport", Code: "passport_missing", Message: "input is missing: a passport job takes file_number and dob"}
	}
	return j.Input.Passport.Validate(time.Now())
}

// Validate checks the reference, not the image: a bucket name that S3 takes, and a key of 1 to 1,024 bytes.
func (img Image) Validate() error {
	invalid := func(code, message string) error {
		return &InvalidError{Field: "image", Code: code, Message: message}
	}
	switch {
	case img.Bucket == "" || img.Key == "":
		return invalid("image_missing", "needs both a bucket and a key")
	case !forms.IsBucket(img.Bucket):
		return invalid("image_bucket_invalid", "has an invalid bucket name: want "+forms.BucketRule)
	case len(img.Key) > 1024:
		return invalid("image_key_invalid", "has a key of over 1,024 bytes, which S3 does not take")
	}
	return nil
}

// Validate checks the fields of a passport as of now: file_number alphanumeric, 1 to 20; dob a real date YYYY-MM-DD, in
// the past, after 1900; name, if given, at most 200 bytes of text on one line.
func (p PassportInput) Validate(now time.Time) error {
	switch {
	case p.FileNumber.Empty():
		return &InvalidError{Field: "file_number", Code: "file_number_missing", Message: "is missing"}
	case !fileNumberForm.MatchString(p.FileNumber.Reveal()):
		return &InvalidError{Field: "file_number", Code: "file_number_value_invalid", Message: "must be 1 to 20 letters and digits"}
	case p.DOB.Empty():
		return &InvalidError{Field: "dob", Code: "dob_missing", Message: "is missing"}
	}
	dob, err := time.Parse(time.DateOnly, p.DOB.Reveal())
	switch {
	case err != nil:
		return &InvalidError{Field: "dob", Code: "dob_value_invalid", Message: "must be a real date of the form YYYY-MM-DD"}
	case !dob.After(earliestDOB):
		return &InvalidError{Field: "dob", Code: "dob_value_invalid", Message: "must be after 1900-01-01"}
	case !dob.Before(now):
		return &InvalidError{Field: "dob", Code: "dob_value_invalid", Message: "must be in the past"}
	case len(p.Name.Reveal()) > maxNameLength:
		return &InvalidError{Field: "name", Code: "name_length_exceeded", Message: fmt.Sprintf("has over %d bytes", maxNameLength)}
	case !utf8.ValidString(p.Name.Reveal()) || strings.ContainsFunc(p.Name.Reveal(), unicode.IsControl):
		return &InvalidError{Field: "name", Code: "name_value_invalid", Message: "must be UTF-8 text without line breaks and other control characters"}
	}
	return nil
}
