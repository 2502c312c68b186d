package tasks

import (
	"encoding/json"
	"errors"

	"github.com/kycq/kycq/internal/redact"
)

// Personal holds a text about a person. It prints, logs and marshals as "[personal]"; its method Reveal returns the text.
type Personal = redact.Personal

// NewPersonal wraps a personal field.
func NewPersonal(s string) Personal { return redact.NewPersonal(s) }

// Job is one check.
type Job struct {
	Kind Kind
	// VerificationID identifies the job, at Cashfree too: 1 to 50 of [A-Za-z0-9._-], unique per kind, never used again.
	VerificationID string
	// Lane is Live if empty.
	Lane Lane
	// Run is 1 for a new job (zero means 1). An operator's retry of a final job is run 2, 3, ...
	Run int
	// Batch, Row and Line are set for the rows of a batch. Row counts its accepted rows from 1, Line the lines of its file.
	Batch string
	Row   int
	Line  int
	Input Input
}

// Input is the input of a job. Only the field of the job's kind is set.
type Input struct {
	Image    *Image
	Passport *PassportInput
}

// Image refers to an object in S3. The workers read it with their own credentials.
type Image struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	// SHA256 is the content's hash in lower-case hex; empty if the producer did not read the object.
	SHA256 string `json:"sha256,omitempty"`
	// Bytes is the content's length; 0 if the producer did not read the object.
	Bytes int64 `json:"bytes,omitempty"`
	// Uploaded is set by storage.Store.UploadImage. kycq deletes the object once the job is valid or invalid.
	Uploaded bool `json:"uploaded,omitempty"`
}

// PassportInput is the input of a passport check.
type PassportInput struct {
	FileNumber Personal // alphanumeric, 1 to 20
	DOB        Personal // YYYY-MM-DD, in the past, after 1900
	Name       Personal // optional
}

// wireInput is the plain text of a sealed_input. Golden files hold its form.
type wireInput struct {
	Image    *Image        `json:"image,omitempty"`
	Passport *wirePassport `json:"passport,omitempty"`
}

type wirePassport struct {
	FileNumber string `json:"file_number"`
	DOB        string `json:"dob"`
	Name       string `json:"name,omitempty"`
}

// EncodeInput returns the plain text of a sealed_input. Equal inputs have equal texts, since the fingerprint is taken of
// them.
func EncodeInput(in Input) ([]byte, error) {
	w := wireInput{Image: in.Image}
	if p := in.Passport; p != nil {
		w.Passport = &wirePassport{FileNumber: p.FileNumber.Reveal(), DOB: p.DOB.Reveal(), Name: p.Name.Reveal()}
	}
	return json.Marshal(w)
}

// DecodeInput is the reverse of EncodeInput. Its errors never quote the text.
func DecodeInput(plain []byte) (Input, error) {
	var w wireInput
	if err := json.Unmarshal(plain, &w); err != nil {
		return Input{}, errors.New("decode input: not the JSON that kycq writes")
	}
	in := Input{Image: w.Image}
	if p := w.Passport; p != nil {
		in.Passport = &PassportInput{FileNumber: NewPersonal(p.FileNumber), DOB: NewPersonal(p.DOB), Name: NewPersonal(p.Name)}
	}
	if (in.Image == nil) == (in.Passport == nil) {
		return Input{}, errors.New("decode input: want exactly one of image and passport")
	}
	return in, nil
}
