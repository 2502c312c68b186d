package worker

import (
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// nextProviderID is the verification_id that the next request carries, found from the attempts alone so that every worker
// finds the same. ok is false when no derived id is left.
//
// It is the job's own id until that may be used up: after a 409 that the policy resolved, after an image link that is
// gone, and in a further run, if anything was ever sent.
func nextProviderID(rec *storage.Record) (id string, ok bool) {
	last := lastOfRun(rec)
	switch {
	case last == nil && !everSent(rec):
		return rec.VerificationID, true
	case last != nil && last.Result != resultDuplicate && last.Result != resultLinkGone:
		return last.ProviderID, true
	}
	used := map[string]bool{rec.VerificationID: true}
	for _, at := range rec.Attempts {
		used[at.ProviderID] = true
	}
	n := len(used)
	if n > tasks.MaxDerived {
		return "", false
	}
	return tasks.DerivedID(rec.Kind, rec.VerificationID, n), true
}

// isReissue tells whether a request under provider id next may buy again what was paid for before: it goes out under a
// fresh id although the answer of an earlier request is unknown, or was given.
func isReissue(rec *storage.Record, next string) bool {
	for _, at := range rec.Attempts {
		switch at.Result {
		case "", resultUnknown, resultAnswered, resultLinkGone:
			if at.ProviderID != next {
				return true
			}
		}
	}
	return false
}

func lastOfRun(rec *storage.Record) *storage.Attempt {
	if last := rec.LastAttempt(); last != nil && last.Run == rec.Run {
		return last
	}
	return nil
}

// everSent tells whether any request of any run may have left.
func everSent(rec *storage.Record) bool {
	for _, at := range rec.Attempts {
		if at.Result != resultNotSent {
			return true
		}
	}
	return false
}

// earlierWith lists the attempts with the same provider_id that stand before attempt i.
func earlierWith(rec *storage.Record, i int) []storage.Attempt {
	var earlier []storage.Attempt
	for _, at := range rec.Attempts[:i] {
		if at.ProviderID == rec.Attempts[i].ProviderID {
			earlier = append(earlier, at)
		}
	}
	return earlier
}

// spent counts the current run's attempts: those that count, and those that reached the vendor or may have, without the
// ones that it turned away unread (429, a refused account) and those whose worker died.
func spent(rec *storage.Record) (counted, sent int) {
	for _, at := range rec.Attempts {
		if at.Run != rec.Run {
			continue
		}
		if at.Counted {
			counted++
		}
		if at.Counted || at.Probe && at.Result != resultNotSent {
			sent++
		}
	}
	return counted, sent
}
