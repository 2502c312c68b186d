package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/api"
	"github.com/kycq/kycq/storage"
)

func TestWebhooksTellTheDecisionOfAReviewAndNotTheReviewersWords(t *testing.T) {
	t.Parallel()
	for review, want := range map[string]string{
		storage.ReviewApproved + "alice: SPECIMEN": `"review":"approved"`,
		storage.ReviewRejected + "alice: SPECIMEN": `"review":"rejected"`,
		"aadhaar_unmasked":                         `"review":"aadhaar_unmasked"`,
	} {
		rec := &storage.Record{State: storage.StateValid, Review: review, Attempts: []storage.Attempt{{HTTPStatus: 200}}}
		body, err := json.Marshal(api.WebhookData(rec))
		if text := string(body); err != nil || !strings.Contains(text, want) || strings.Contains(text, "SPECIMEN") || strings.Contains(text, "attempts") {
			t.Errorf("%s, %v; want %s", text, err, want)
		}
	}
}

func TestAnUnfinishedRetryShowsNoComparison(t *testing.T) {
	t.Parallel()
	for state, want := range map[storage.State]bool{storage.StateSent: false, storage.StateFailed: true} {
		rec := &storage.Record{State: state, Earlier: []storage.EarlierRun{{Run: 1, State: storage.StateValid, Passport: &storage.PassportView{}}}}
		body, err := json.Marshal(api.WebhookData(rec))
		if err != nil || strings.Contains(string(body), `"matches"`) != want {
			t.Errorf("%s: %s, %v", state, body, err)
		}
	}
}
