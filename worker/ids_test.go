package worker

import (
	"testing"

	"github.com/kycq/kycq/internal/vendorid"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func TestProviderIDsFollowFromTheAttempts(t *testing.T) {
	t.Parallel()
	k1, k2 := vendorid.Derive("passport", "A", 1), vendorid.Derive("passport", "A", 2)
	type at = storage.Attempt
	for name, c := range map[string]struct {
		run      int
		attempts []at
		want     string
		reissue  bool
	}{
		"new":                       {1, nil, "A", false},
		"retried":                   {1, []at{{Run: 1, ProviderID: "A", Result: resultError}}, "A", false},
		"taken over":                {1, []at{{Run: 1, ProviderID: "A", Result: resultUnknown}}, "A", false},
		"not sent":                  {1, []at{{Run: 1, ProviderID: "A", Result: resultNotSent}}, "A", false},
		"used up by errors":         {1, []at{{Run: 1, ProviderID: "A", Result: resultError}, {Run: 1, ProviderID: "A", Result: resultDuplicate}}, k1, false},
		"lost and reissued":         {1, []at{{Run: 1, ProviderID: "A", Result: resultUnknown}, {Run: 1, ProviderID: "A", Result: resultDuplicate}}, k1, true},
		"link gone and reissued":    {1, []at{{Run: 1, ProviderID: "A", HTTPStatus: 200, Result: resultLinkGone}}, k1, true},
		"derived, retried":          {1, []at{{Run: 1, ProviderID: "A", Result: resultDuplicate}, {Run: 1, ProviderID: k1, Result: resultError}}, k1, false},
		"derived, used up too":      {1, []at{{Run: 1, ProviderID: "A", Result: resultDuplicate}, {Run: 1, ProviderID: k1, Result: resultDuplicate}}, k2, false},
		"second run":                {2, []at{{Run: 1, ProviderID: "A", Result: resultRefused}}, k1, false},
		"second run of an answered": {2, []at{{Run: 1, ProviderID: "A", HTTPStatus: 200, Result: resultAnswered}}, k1, true},
		"second run of an odd 200":  {2, []at{{Run: 1, ProviderID: "A", HTTPStatus: 200, Result: resultRefused}}, k1, true},
		"second run, never sent":    {2, []at{{Run: 1, ProviderID: "A", Result: resultNotSent}}, "A", false},
		"third run":                 {3, []at{{Run: 1, ProviderID: "A", Result: resultError}, {Run: 2, ProviderID: k1, Result: resultError}}, k2, false},
	} {
		rec := &storage.Record{JobSpec: tasks.JobSpec{Kind: tasks.Passport, VerificationID: "A", Run: c.run}, Attempts: c.attempts}
		got, ok := nextProviderID(rec)
		if !ok || got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
		if isReissue(rec, got) != c.reissue {
			t.Errorf("%s: reissue %v, want %v", name, !c.reissue, c.reissue)
		}
	}
}

func TestDerivedIDsAreLimited(t *testing.T) {
	t.Parallel()
	rec := &storage.Record{JobSpec: tasks.JobSpec{Kind: tasks.Passport, VerificationID: "A", Run: 1}}
	for n := 1; n <= vendorid.Max; n++ {
		rec.Attempts = append(rec.Attempts, storage.Attempt{Run: 1, ProviderID: vendorid.Derive("passport", "A", n), Result: resultDuplicate})
	}
	if id, ok := nextProviderID(rec); ok {
		t.Errorf("got %s, which is too long an id", id)
	}
}
