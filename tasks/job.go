package tasks

import (
	"encoding/json"
	"fmt"

	"github.com/kycq/kycq/internal/redact"
)

// Personal is a redacting string: it prints as "[personal]" and gives its text only to Reveal.
type Personal = redact.Personal

// NewPersonal wraps a personal field.
func NewPersonal(s string) Personal { return redact.NewPersonal(s) }

// Job is one thing to check, as a producer describes it.
type Job struct {
	Kind Kind
	// VerificationID names the job for ever, at Cashfree too: 1 to 50 of [A-Za-z0-9._-]. Ids are unique per kind.
	VerificationID string
	// Lane is Live where zero.
	Lane Lane
	// Run is 1 for a new job (zero means 1); an operator's retry of a finished job is run 2, 3, ...
	Run int
	// Batch and Row say where a backfill's job came from; empty and 0 for a single one.
	Batch string
	Row   int
	Input Input
}

// Input is what is checked. Exactly one of the two is set, the one of the job's kind.
type Input struct {
	Image    *Image
	Passport *PassportInput
}

// Image refers to an object in S3-compatible storage. The bytes never travel through Redis.
type Image struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	// SHA256 is the content's hash in lower-case hex; empty where the producer did not read the object.
	SHA256 string `json:"sha256,omitempty"`
	// Bytes is the content's length; 0 where the producer did not read the object.
	Bytes int64 `json:"bytes,omitempty"`
	// Uploaded says that kycq put the object there, and so may delete it once the job is valid or invalid.
	Uploaded bool `json:"uploaded,omitempty"`
}

// PassportInput is what Cashfree's passport call takes.
type PassportInput struct {
	FileNumber Personal // alphanumeric, 1 to 20
	DOB        Personal // YYYY-MM-DD, in the past, after 1900
	Name       Personal // optional
}

// wireInput is the plain text under the seal of a payload and of a record's sealed_input. A golden file holds its form.
type wireInput struct {
	Image    *Image        `json:"image,omitempty"`
	Passport *wirePassport `json:"passport,omitempty"`
}

type wirePassport struct {
	FileNumber string `json:"file_number"`
	DOB        string `json:"dob"`
	Name       string `json:"name,omitempty"`
}

// EncodeInput renders an input as the plain text that is sealed. Equal inputs give equal bytes, so that the keyed
// fingerprint can be taken of them.
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
		return Input{}, fmt.Errorf("decode input: not the JSON that kycq writes")
	}
	in := Input{Image: w.Image}
	if p := w.Passport; p != nil {
		in.Passport = &PassportInput{FileNumber: NewPersonal(p.FileNumber), DOB: NewPersonal(p.DOB), Name: NewPersonal(p.Name)}
	}
	if (in.Image == nil) == (in.Passport == nil) {
		return Input{}, fmt.Errorf("decode input: want exactly one of image and passport")
	}
	return in, nil
}
