package cashfree

import (
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
)

// answer is the union of both calls' 200 bodies (vendor pages). Unknown fields and the case of keys do not matter; of a
// key given twice the last one counts, as encoding/json has it.
type answer struct {
	Status                  text `json:"status"`
	VerificationID          text `json:"verification_id"`
	ReferenceID             text `json:"reference_id"`
	ImageLink               text `json:"image_link"`
	FileNumber              text `json:"file_number"`
	Name                    text `json:"name"`
	DOB                     text `json:"dob"`
	ApplicationType         text `json:"application_type"`
	ApplicationReceivedDate text `json:"application_received_date"`
}

// readAnswer wants one JSON object and nothing after it.
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

// problem is an error body, {"type","code","message"}, made fit for comparison. message never leaves this package.
type problem struct {
	code    string // "" if it does not look like a code
	message string // lower case, single spaces
}

// readProblem reads what it can; a body that is no such object is an empty problem.
func readProblem(body []byte) problem {
	var p struct {
		Code    text `json:"code"`
		Message text `json:"message"`
	}
	if json.Unmarshal(body, &p) != nil {
		return problem{}
	}
	return problem{
		code:    checkCode(string(p.Code)),
		message: strings.Join(strings.Fields(strings.ToLower(string(p.Message))), " "),
	}
}

// maxDigits is the longest run of digits that may stand in a code. Codes are words; what holds more digits may be an
// Aadhaar number, a file number or a phone number that some gateway put there.
const maxDigits = 5

// checkCode returns s in lower case if it looks like a code, else "": 1 to 64 of [a-z0-9_.-], beginning with a letter.
func checkCode(s string) string {
	s = strings.ToLower(s)
	if len(s) == 0 || len(s) > 64 || s[0] < 'a' || s[0] > 'z' {
		return ""
	}
	digits := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			if digits++; digits > maxDigits {
				return ""
			}
			continue
		case c >= 'a' && c <= 'z', c == '_', c == '.', c == '-':
		default:
			return ""
		}
		digits = 0
	}
	return s
}

// text is a JSON string or number, as text. Anything else reads as empty instead of spoiling the whole answer: the page
// gives reference_id as an int64, other answers of the vendor give numbers as strings.
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

// int64 is the text as a positive number, or 0.
func (t text) int64() int64 {
	n, err := strconv.ParseInt(string(t), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// stopsInTheMiddle tells whether body is the beginning of a JSON text, not something else.
func stopsInTheMiddle(body []byte) bool {
	var v json.RawMessage
	return errors.Is(json.NewDecoder(strings.NewReader(string(body))).Decode(&v), io.ErrUnexpectedEOF)
}
