package simulator

import (
	"encoding/json"
	"errors"
	"hash/fnv"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxPassportBody is far above the size of a valid request.
const maxPassportBody = 64 << 10

type passportRequest struct {
	VerificationID string `json:"verification_id"`
	FileNumber     string `json:"file_number"`
	DOB            string `json:"dob"`
	Name           string `json:"name"`
}

type passportAnswer struct {
	VerificationID          string `json:"verification_id"`
	ReferenceID             int64  `json:"reference_id"`
	Status                  string `json:"status"`
	FileNumber              string `json:"file_number,omitempty"`
	Name                    string `json:"name,omitempty"`
	DOB                     string `json:"dob,omitempty"`
	ApplicationType         string `json:"application_type,omitempty"`
	ApplicationReceivedDate string `json:"application_received_date,omitempty"`
}

// readPassport validates the fields in the order of the vendor's table.
func readPassport(r *http.Request) (request, *vendorError, error) {
	if r.ContentLength > maxPassportBody {
		return request{}, errTooLarge, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPassportBody+1))
	if err != nil {
		return request{}, nil, errors.Join(errBroken, err)
	}
	if len(body) > maxPassportBody {
		return request{}, errTooLarge, nil
	}
	var p passportRequest
	if err := json.Unmarshal(body, &p); err != nil {
		return request{id: p.VerificationID}, errBodyForm, nil
	}
	req := request{id: p.VerificationID, decide: func(*http.Request) (decision, error) { return p.decide(), nil }}
	if refusal := checkID(p.VerificationID); refusal != nil {
		return req, refusal, nil
	}
	switch {
	case p.FileNumber == "":
		return req, errFileNumberMissing, nil
	case p.DOB == "":
		return req, errDOBMissing, nil
	}
	if _, err := time.Parse(time.DateOnly, p.DOB); err != nil {
		return req, errDOBForm, nil
	}
	return req, nil, nil
}

// checkID is the vendor's rule: 1 to 50 of letters, digits, period, hyphen and underscore.
func checkID(id string) *vendorError {
	if id == "" {
		return errIDMissing
	}
	for _, c := range []byte(id) {
		if !letterOrDigit(c) && c != '.' && c != '-' && c != '_' {
			return errIDCharacters
		}
	}
	if len(id) > 50 {
		return errIDLength
	}
	return nil
}

func letterOrDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// decide follows the table in the package's comment.
func (p passportRequest) decide() decision {
	a := passportAnswer{Status: "VALID", FileNumber: p.FileNumber, Name: p.Name, DOB: p.DOB}
	if a.Name == "" {
		a.Name = p.inventedName()
	}
	switch {
	case !p.plausible(), strings.HasSuffix(p.FileNumber, "0000"):
		a = passportAnswer{Status: "INVALID", FileNumber: p.FileNumber, DOB: p.DOB}
	case strings.HasSuffix(p.FileNumber, "0001"):
		a.Name = otherName(a.Name)
	case strings.HasSuffix(p.FileNumber, "0002"):
		a.DOB = otherDate(p.DOB)
	case strings.HasSuffix(p.FileNumber, "0003"):
		a.Name, a.DOB = otherName(a.Name), otherDate(p.DOB)
	}
	if a.Status == "VALID" {
		a.ApplicationType, a.ApplicationReceivedDate = p.application()
	}
	return decision{result: a.Status, body: func(id string, reference int64, f Fault, _ string) any {
		a.VerificationID, a.ReferenceID = answeredID(id, f), reference
		return a
	}}
}

func (p passportRequest) plausible() bool {
	if len(p.FileNumber) > 20 {
		return false
	}
	for _, c := range []byte(p.FileNumber) {
		if !letterOrDigit(c) {
			return false
		}
	}
	born, err := time.Parse(time.DateOnly, p.DOB)
	return err == nil && !born.After(time.Now())
}

func (p passportRequest) sum() uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(p.FileNumber))
	return h.Sum32()
}

func (p passportRequest) inventedName() string {
	given := []string{"Asha", "Bimal", "Chitra", "Dev", "Esha", "Farid", "Gauri", "Hari"}
	return "Specimen " + given[p.sum()%uint32(len(given))]
}

// application invents type and date: one in four is TATKAAL, dates are from 2003 to 2022.
func (p passportRequest) application() (kind, received string) {
	kind = "NORMAL"
	if p.sum()%4 == 3 {
		kind = "TATKAAL"
	}
	first := time.Date(2003, time.January, 1, 0, 0, 0, 0, time.UTC)
	return kind, first.AddDate(0, 0, int(p.sum()%7300)).Format(time.DateOnly)
}

// otherName returns a name that has no word in common with the given one.
func otherName(name string) string {
	if strings.Contains(name, "Elsewhere") {
		return "Nobody Nowhere"
	}
	return "Somebody Elsewhere"
}

// otherDate is a year earlier.
func otherDate(dob string) string {
	t, err := time.Parse(time.DateOnly, dob)
	if err != nil { // validated before
		return dob
	}
	return t.AddDate(-1, 0, 0).Format(time.DateOnly)
}

// answeredID is the id in the answer.
func answeredID(id string, f Fault) string {
	if f.Fault == FaultWrongID {
		return "another-" + id
	}
	return id
}
