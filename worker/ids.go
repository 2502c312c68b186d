package worker

import (
	"slices"

	"github.com/kycq/kycq/internal/vendorid"
	"github.com/kycq/kycq/storage"
)

// nextProviderID returns the verification_id of the next request. It depends on the attempts only, so all workers find the
// same. ok is false if no derived id is left.
//
// It is the job's own id until Cashfree may have used that up: after a 409 that the policy resolved, after an image link
// that is gone, and in a further run if any request was sent.
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
	if n > vendorid.Max {
		return "", false
	}
	return vendorid.Derive(string(rec.Kind), rec.VerificationID, n), true
}

// isReissue reports whether a request with provider id next may pay again: an earlier request with another id was
// answered with 200, or its answer is unknown.
func isReissue(rec *storage.Record, next string) bool {
	return slices.ContainsFunc(rec.Attempts, func(at storage.Attempt) bool {
		return at.ProviderID != next && at.MayHavePaid()
	})
}

// paidInRun reports whether a call of the current run may have been charged.
func paidInRun(rec *storage.Record) bool {
	return slices.ContainsFunc(rec.Attempts, func(at storage.Attempt) bool { return at.Run == rec.Run && at.MayHavePaid() })
}

// longHistory is the number of attempts from which on a record drops those that did nothing.
const longHistory = 500

// withoutIdle limits the record's size in a long outage. It drops the last attempt if it was not sent, and from a long
// history the oldest attempt that Cashfree refused without processing it. It modifies attempts.
func withoutIdle(attempts []storage.Attempt, run int) []storage.Attempt {
	if n := len(attempts); n > 0 && attempts[n-1].Run == run && attempts[n-1].Result == resultNotSent {
		return attempts[:n-1]
	}
	if len(attempts) < longHistory {
		return attempts
	}
	last := attempts[len(attempts)-1].ProviderID // the record keeps every id
	i := slices.IndexFunc(attempts[:len(attempts)-1], func(at storage.Attempt) bool {
		return at.ProviderID == last && (at.Result == resultLimited || at.Result == resultHeld)
	})
	if i < 0 {
		return attempts
	}
	return slices.Delete(attempts, i, i+1)
}

func lastOfRun(rec *storage.Record) *storage.Attempt {
	if last := rec.LastAttempt(); last != nil && last.Run == rec.Run {
		return last
	}
	return nil
}

// everSent reports whether any request of any run may have been sent.
func everSent(rec *storage.Record) bool {
	return slices.ContainsFunc(rec.Attempts, func(at storage.Attempt) bool { return at.Result != resultNotSent })
}

// earlierWith returns the attempts before attempt i that have the same provider_id.
func earlierWith(rec *storage.Record, i int) []storage.Attempt {
	var earlier []storage.Attempt
	for _, at := range rec.Attempts[:i] {
		if at.ProviderID == rec.Attempts[i].ProviderID {
			earlier = append(earlier, at)
		}
	}
	return earlier
}

// spent counts attempts of the current run: the counted ones, and the counted ones together with sent test calls.
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
