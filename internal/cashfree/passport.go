package cashfree

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/redact"
)

// PassportRequest is the input of the passport call (vendor page "Verify Passport").
type PassportRequest struct {
	// ProviderID is sent as verification_id: 1 to 50 of [A-Za-z0-9._-], unique per account.
	ProviderID string
	// FileNumber is alphanumeric, DOB is YYYY-MM-DD. Name is optional.
	FileNumber redact.Personal
	DOB        redact.Personal
	Name       redact.Personal
}

// PassportAnswer is the vendor's data of the passport. Name and DOB may differ from the request's, in a Valid answer too.
// Missing fields are empty.
type PassportAnswer = PassportFields[redact.Personal]

// PassportFields are the fields of a passport answer. T is string only where the answer is sealed.
type PassportFields[T any] struct {
	FileNumber              T `json:"file_number"`
	Name                    T `json:"name"`
	DOB                     T `json:"dob"`
	ApplicationType         T `json:"application_type"`          // for example NORMAL
	ApplicationReceivedDate T `json:"application_received_date"` // YYYY-MM-DD
}

// applicationTypes are the application types that are shown. The documentation has NORMAL as an example and no list.
var applicationTypes = []string{"NORMAL", "TATKAAL", "TATKAL"}

// ApplicationType returns the application type of an answer if it is a known one, "other" if not, and "" for none. The text as
// it was sent is for sealed places only: it may hold anything.
func ApplicationType(text string) string {
	switch text = strings.ToUpper(strings.TrimSpace(text)); {
	case text == "" || slices.Contains(applicationTypes, text):
		return text
	}
	return advice.Unlisted
}

// Date returns a date of an answer, or "" if it is not of the form YYYY-MM-DD.
func Date(text string) string {
	text = strings.TrimSpace(text)
	if _, err := time.Parse(time.DateOnly, text); err != nil {
		return ""
	}
	return text
}

// Convert converts each field.
func Convert[A, B any](f PassportFields[A], convert func(A) B) PassportFields[B] {
	return PassportFields[B]{
		FileNumber: convert(f.FileNumber), Name: convert(f.Name), DOB: convert(f.DOB),
		ApplicationType: convert(f.ApplicationType), ApplicationReceivedDate: convert(f.ApplicationReceivedDate),
	}
}

// VerifyPassport calls POST /passport (JSON; vendor page), which checks whether file number and date of birth belong
// together. A Valid or Invalid Reply has Passport.
func (c *Client) VerifyPassport(ctx context.Context, r PassportRequest) *Reply {
	body, err := json.Marshal(struct {
		VerificationID string `json:"verification_id"`
		FileNumber     string `json:"file_number"`
		DOB            string `json:"dob"`
		Name           string `json:"name,omitempty"`
	}{r.ProviderID, r.FileNumber.Reveal(), r.DOB.Reveal(), r.Name.Reveal()})
	if err != nil {
		return unanswered(NotSent, fmt.Errorf("%s: build request: %w", verifyPassport.name, err))
	}
	return c.call(ctx, verifyPassport, r.ProviderID, "application/json", &upload{prelude: body})
}

// Check tests address, credentials and signature with a passport request without fields, which is not charged. The class is
// Rejected if they are accepted, otherwise mostly Credentials or NotAllowed. It counts as one call of the rate limit.
func (c *Client) Check(ctx context.Context) *Reply {
	return c.call(ctx, verifyPassport, "", "application/json", &upload{prelude: []byte("{}")})
}
