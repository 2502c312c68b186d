// Package hold keeps the holds: reasons, for a person to fix, why no calls are made, of the whole account or of one kind. All
// are in one hash in Redis, which the scripts of internal/gate enforce. A hold has a cause. Holds of several causes exist
// beside each other; a kind has calls while none covers it.
//
// A hold ends by test calls: once it is resumed, calls are made one at a time, and an answer to any call that it covers lifts
// it. What raises some of them is counted here, too: answers that may not be the vendor's (Streak), masked images that fail
// the check (End), and paid answers that cannot be stored (AddUnstored).
//
// The operator's holds are pauses. They are in S3 as well (internal/pauses), which overrides Redis. Until they have been
// restored into a Redis that is new or has lost data, the gate grants no slot.
package hold

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// The causes of a hold. Operator is that of a pause.
const (
	Operator    = "operator"
	Credentials = "credentials"
	IP          = "ip"
	Balance     = "balance"
	Storage     = "storage"
	Vendor      = "vendor"
	MaskCheck   = "mask_check"
)

// Causes lists all causes.
var Causes = []string{Operator, Credentials, IP, Balance, Storage, Vendor, MaskCheck}

// Hold stops the whole account, or one kind, for a reason that a person must fix.
type Hold struct {
	Cause      string    `json:"cause"`                 // one of Causes
	Kind       string    `json:"kind,omitempty"`        // the only kind that it stops; empty: every kind
	Reason     string    `json:"reason"`                // for the operator: "insufficient balance"
	Code       string    `json:"code,omitempty"`        // the vendor's code, or one of kycq's own
	NextAction string    `json:"next_action,omitempty"` // what the operator has to do
	By         string    `json:"by,omitempty"`          // "worker", or the operator
	Host       string    `json:"host,omitempty"`        // where it was raised, with the process id and the job
	Worker     string    `json:"worker,omitempty"`
	Job        string    `json:"job,omitempty"`
	JobKind    string    `json:"job_kind,omitempty"`
	Since      time.Time `json:"since"`
	Probing    bool      `json:"probing,omitempty"` // resumed: the next call that it covers is the test call
}

// Covers reports whether the hold stops a kind.
func (h Hold) Covers(kind string) bool { return h.Kind == "" || h.Kind == kind }

// Same reports whether two holds have the same cause and kind.
func (h Hold) Same(other Hold) bool { return h.field() == other.field() }

// Paused reports whether the hold is a pause that was not resumed.
func (h Hold) Paused() bool { return h.Cause == Operator && !h.Probing }

// field is the hold's field in the hash of holds; its value is JSON.
func (h Hold) field() string { return strings.TrimSuffix(h.Cause+":"+h.Kind, ":") }

// Of returns the first hold that covers a kind, or nil.
func Of(kind string, holds []Hold) *Hold {
	if i := slices.IndexFunc(holds, func(h Hold) bool { return h.Covers(kind) }); i >= 0 {
		return &holds[i]
	}
	return nil
}

// All names all causes, for ToResume.
const All = "all"

// ToResume returns which of the holds a resume lifts: those of a cause, and of a kind, unless these are empty. A resume without a
// cause leaves a pause while there are other holds. It changes all.
func ToResume(all []Hold, cause, kind string) []Hold {
	all = slices.DeleteFunc(all, func(h Hold) bool {
		return kind != "" && kind != h.Kind || cause != "" && cause != All && cause != h.Cause
	})
	others := slices.ContainsFunc(all, func(h Hold) bool { return h.Cause != Operator })
	return slices.DeleteFunc(all, func(h Hold) bool { return cause == "" && others && h.Paused() })
}

// order sorts pauses first, then holds that are not being tested, then by age.
func order(a, b Hold) int {
	rank := func(h Hold) int {
		return slices.Index([]bool{h.Paused(), !h.Probing, true}, true)
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), a.Since.Compare(b.Since), strings.Compare(a.field(), b.field()))
}
