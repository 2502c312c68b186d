package worker

import (
	"net/http"
	"slices"

	"github.com/kycq/kycq/internal/vendorid"
	"github.com/kycq/kycq/storage"
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
	if n > vendorid.Max {
		return "", false
	}
	return vendorid.Derive(string(rec.Kind), rec.VerificationID, n), true
}

// isReissue tells whether a request under provider id next may buy again what was paid for before: it goes out under a
// fresh id although the answer of an earlier request is unknown, or was given: a 200, whatever it said.
func isReissue(rec *storage.Record, next string) bool {
	for _, at := range rec.Attempts {
		answered := at.HTTPStatus == http.StatusOK || at.Result == resultAnswered || at.Result == resultLinkGone
		if at.ProviderID != next && (answered || isUnknown(at)) {
			return true
		}
	}
	return false
}

// unresolved tells whether a request of a run from the given one on may have been charged, and nobody has its answer.
func unresolved(rec *storage.Record, from int) bool {
	return slices.ContainsFunc(rec.Attempts, func(at storage.Attempt) bool { return at.Run >= from && isUnknown(at) })
}

func isUnknown(at storage.Attempt) bool { return at.Result == "" || at.Result == resultUnknown }

// longHistory is how many attempts stand in a record before the ones that say least are dropped from it.
const longHistory = 500

// withoutIdle keeps the record of a job that waits out a long outage from growing for ever: it drops the last attempt if
// nothing of it left this machine, and from a long history the oldest one that the vendor turned away unread. attempts is
// the caller's own.
func withoutIdle(attempts []storage.Attempt, run int) []storage.Attempt {
	if n := len(attempts); n > 0 && attempts[n-1].Run == run && attempts[n-1].Result == resultNotSent {
		return attempts[:n-1]
	}
	if len(attempts) < longHistory {
		return attempts
	}
	last := attempts[len(attempts)-1].ProviderID // every id stays in the record
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
