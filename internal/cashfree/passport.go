package cashfree

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/kycq/kycq/internal/redact"
)

// PassportRequest is the input of the passport call (vendor page "Verify Passport").
type PassportRequest struct {
	// ProviderID is sent as verification_id: 1 to 50 of [A-Za-z0-9._-], used once for ever per account.
	ProviderID string
	// FileNumber is alphanumeric; DOB is YYYY-MM-DD; Name may be empty and is then left out.
	FileNumber redact.Personal
	DOB        redact.Personal
	Name       redact.Personal
}

// PassportAnswer is what the vendor knows about the passport. Name and DOB may differ from the request's, in a Valid
// answer too. A field that the vendor left out is empty.
type PassportAnswer struct {
	FileNumber redact.Personal
	Name       redact.Personal
	DOB        redact.Personal
	// ApplicationType is for example NORMAL.
	ApplicationType redact.Personal
	// ApplicationReceivedDate is YYYY-MM-DD.
	ApplicationReceivedDate redact.Personal
}

// VerifyPassport asks the vendor whether file number and date of birth belong together: POST /passport, JSON (vendor
// page). A Valid or Invalid Reply carries Passport.
func (c *Client) VerifyPassport(ctx context.Context, r PassportRequest) *Reply {
	body, err := json.Marshal(struct {
		VerificationID string `json:"verification_id"`
		FileNumber     string `json:"file_number"`
		DOB            string `json:"dob"`
		Name           string `json:"name,omitempty"`
	}{r.ProviderID, r.FileNumber.Reveal(), r.DOB.Reveal(), r.Name.Reveal()})
	if err != nil {
		return unanswered(NotSent, fmt.Errorf("%s: frame request: %w", verifyPassport.name, err))
	}
	return c.call(ctx, verifyPassport, r.ProviderID, "application/json", &upload{prelude: body})
}
