package cashfree

import (
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// answer is the union of the 200 bodies of both calls (vendor pages).
type answer struct {
	Status         word `json:"status"`
	VerificationID text `json:"verification_id"`
	ReferenceID    text `json:"reference_id"`
	ImageLink      text `json:"image_link"`
	PassportFields[text]
}

// readAnswer parses a body that is one JSON object.
func readAnswer(body []byte) (answer, error) {
	var a *answer
	if err := json.Unmarshal(body, &a); err != nil {
		return answer{}, err
	}
	if a == nil {
		return answer{}, errors.New("null")
	}
	return *a, nil
}

// problem is a normalized error body, {"type","code","message"}. The message is only compared.
type problem struct {
	code    string // "" if it does not look like a code
	message string // lower case, single spaces
	foreign bool   // neither a type nor a code: not in the vendor's form
}

// readProblem returns a foreign problem without texts if the body is not such an object.
func readProblem(body []byte) problem {
	var p struct {
		Type    text `json:"type"`
		Code    text `json:"code"`
		Message text `json:"message"`
	}
	if json.Unmarshal(body, &p) != nil {
		return problem{foreign: true}
	}
	code := checkCode(string(p.Code))
	return problem{
		code:    code,
		message: strings.Join(strings.Fields(strings.ToLower(string(p.Message))), " "),
		foreign: code == "" && checkCode(string(p.Type)) == "",
	}
}

var (
	codeForm = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)
	// manyDigits may be a date, or an Aadhaar, file or phone number, with or without separators.
	manyDigits = regexp.MustCompile(`([0-9][^0-9]*){4}`)
)

// checkCode returns s in lower case if it has the form of a code, otherwise "".
func checkCode(s string) string {
	s = strings.ToLower(s)
	if !codeForm.MatchString(s) || manyDigits.MatchString(s) {
		return ""
	}
	return s
}

// text is a JSON string or number; other JSON values become "". The vendor sends numbers in both forms.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	*t = ""
	switch {
	case len(b) > 0 && (b[0] == '-' || b[0] >= '0' && b[0] <= '9'):
		*t = text(b)
	case len(b) > 0 && b[0] == '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*t = text(s)
	}
	return nil
}

// word is a JSON string; other JSON values become "".
type word string

func (w *word) UnmarshalJSON(b []byte) error {
	var t text
	if len(b) > 0 && b[0] == '"' {
		if err := t.UnmarshalJSON(b); err != nil {
			return err
		}
	}
	*w = word(strings.TrimSpace(string(t)))
	return nil
}

// int64 returns the number, or 0 if the text is not a positive number.
func (t text) int64() int64 {
	n, err := strconv.ParseInt(string(t), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// isTruncated reports whether body is the beginning of a JSON text.
func isTruncated(body []byte) bool {
	var v json.RawMessage
	return errors.Is(json.NewDecoder(strings.NewReader(string(body))).Decode(&v), io.ErrUnexpectedEOF)
}
