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

// InvalidError describes one invalid field. It never quotes the field's value.
type InvalidError struct {
	Field   string // as in the JSON: verification_id, image, file_number, dob, name, lane, ...
	Code    string // stable, for programs and rejects files, for example dob_value_invalid
	Message string // completes "<field> ..."
}

func (e *InvalidError) Error() string { return e.Field + " " + e.Message }

// InvalidJobError lists every invalid field of a job, at least one. errors.As with an *InvalidError finds the first.
type InvalidJobError struct{ Fields []*InvalidError }

func (e *InvalidJobError) Error() string {
	var texts []string
	for _, field := range e.Fields {
		texts = append(texts, field.Error())
	}
	return strings.Join(texts, "; ")
}

// Unwrap returns the single fields.
func (e *InvalidJobError) Unwrap() []error {
	var errs []error
	for _, field := range e.Fields {
		errs = append(errs, field)
	}
	return errs
}

// invalidFields collects invalid fields.
type invalidFields []*InvalidError

func (f *invalidFields) add(field, code, message string) {
	*f = append(*f, &InvalidError{Field: field, Code: code, Message: message})
}

// addError adds the fields of an error of this package.
func (f *invalidFields) addError(err error) {
	switch e := err.(type) { //nolint:errorlint // this package returns them unwrapped
	case *InvalidError:
		*f = append(*f, e)
	case *InvalidJobError:
		*f = append(*f, e.Fields...)
	}
}

func (f invalidFields) err() error {
	if len(f) == 0 {
		return nil
	}
	return &InvalidJobError{Fields: f}
}

// Validate checks all fields of a job, but not the image behind a reference (see ValidateImage). The error is an
// *InvalidJobError with every invalid field.
func (j Job) Validate() error {
	var invalid invalidFields
	invalid.addError(ValidateID(j.VerificationID))
	if j.Lane != "" && j.Lane != Live && j.Lane != Bulk {
		invalid.add("lane", "lane_invalid", "must be live or bulk")
	}
	if j.Run < 0 {
		invalid.add("run", "run_invalid", "must be 1 or more")
	}
	image, passport := j.Input.Image, j.Input.Passport
	switch {
	case j.Kind != Aadhaar && j.Kind != Passport:
		invalid.add("kind", "kind_invalid", "must be aadhaar or passport")
	case j.Kind == Aadhaar && (image == nil || passport != nil):
		invalid.add("image", "image_missing", "is missing: an aadhaar job takes a reference to an image in S3")
	case j.Kind == Aadhaar:
		invalid.addError(image.Validate())
	case passport == nil || image != nil:
		invalid.add("passport", "passport_missing", "input is missing: a passport job takes file_number and dob")
	default:
		invalid.addError(passport.Validate(time.Now()))
	}
	return invalid.err()
}

// Validate checks the reference, not the image: a valid bucket name and a key of 1 to 1,024 bytes. The error is an
// *InvalidError.
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

var (
	fileNumberForm = regexp.MustCompile(`^[A-Za-z0-9]{1,20}$`)
	earliestDOB    = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
)

// maxNameLength bounds the name, in bytes. Cashfree documents no limit.
const maxNameLength = 200

// Validate checks the fields of a passport as of now: file_number alphanumeric, 1 to 20; dob a real date YYYY-MM-DD, in
// the past, after 1900-01-01; name, if set, at most 200 bytes of text on one line. The error is an *InvalidJobError.
func (p PassportInput) Validate(now time.Time) error {
	var invalid invalidFields
	switch number := p.FileNumber.Reveal(); {
	case number == "":
		invalid.add("file_number", "file_number_missing", "is missing")
	case !fileNumberForm.MatchString(number):
		invalid.add("file_number", "file_number_value_invalid", "must be 1 to 20 letters and digits")
	}
	switch dob, err := time.Parse(time.DateOnly, p.DOB.Reveal()); {
	case p.DOB.Empty():
		invalid.add("dob", "dob_missing", "is missing")
	case err != nil:
		invalid.add("dob", "dob_value_invalid", "must be a real date of the form YYYY-MM-DD")
	case !dob.After(earliestDOB):
		invalid.add("dob", "dob_value_invalid", "must be after 1900-01-01")
	case !dob.Before(now):
		invalid.add("dob", "dob_value_invalid", "must be in the past")
	}
	switch name := p.Name.Reveal(); {
	case len(name) > maxNameLength:
		invalid.add("name", "name_length_exceeded", fmt.Sprintf("has over %d bytes", maxNameLength))
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		invalid.add("name", "name_value_invalid", "must be UTF-8 text without line breaks and other control characters")
	case strings.ContainsFunc(name, forms.IsInvisible):
		invalid.add("name", "name_value_invalid", "must not hold invisible characters (zero-width or direction marks)")
	}
	return invalid.err()
}
