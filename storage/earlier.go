package storage

import (
	"slices"
	"time"

	"github.com/kycq/kycq/internal/advice"
)

// EarlierRun is what an earlier run of a job ended with. A further run never takes it away.
type EarlierRun struct {
	Run         int           `json:"run"`
	State       State         `json:"state"`
	Code        string        `json:"code"`
	ReferenceID int64         `json:"reference_id,omitempty"`
	MaskedImage *MaskedImage  `json:"masked_image,omitempty"`
	Passport    *PassportView `json:"passport,omitempty"`
	Sealed      string        `json:"sealed,omitempty"`
}

// currentRun returns the record's own run in the form of an earlier one. It leaves out an answer that was not paid for.
func (r *Record) currentRun() EarlierRun {
	run := EarlierRun{
		Run: r.Run, State: r.State, Code: r.Code, ReferenceID: r.ReferenceID,
		MaskedImage: clonePtr(r.MaskedImage), Passport: clonePtr(r.Passport),
	}
	if slices.ContainsFunc(r.Attempts, func(at Attempt) bool { return at.Run == r.Run && at.MayHavePaid() }) {
		run.Sealed = r.Sealed
	}
	return run
}

// Best returns the best result of all runs: the latest valid one, else the latest invalid one, else that of the current run,
// which need not have ended.
func (r *Record) Best() EarlierRun {
	current := r.currentRun()
	runs := append(slices.Clone(r.Earlier), current)
	for _, state := range []State{StateValid, StateInvalid} {
		for _, run := range slices.Backward(runs) {
			if run.State == state {
				return run
			}
		}
	}
	return current
}

// InputGone reports whether kycq has deleted the image that the job was submitted with, so that it cannot run again.
func (r *Record) InputGone() bool { return !r.UploadDeletedAt.IsZero() }

func cloneEarlier(runs []EarlierRun) []EarlierRun {
	runs = slices.Clone(runs)
	for i := range runs {
		runs[i].MaskedImage, runs[i].Passport = clonePtr(runs[i].MaskedImage), clonePtr(runs[i].Passport)
	}
	return runs
}

// AsOf returns the record as it was when an earlier run was completed, without its calls; nil if there is no such run.
func (r *Record) AsOf(run int, completed time.Time) *Record {
	i := slices.IndexFunc(r.Earlier, func(e EarlierRun) bool { return e.Run == run })
	if i < 0 {
		return nil
	}
	e, then := r.Earlier[i], NewRecord(r.JobSpec)
	then.Run, then.State, then.Code, then.ReferenceID, then.MaskedImage, then.Passport = run, e.State, e.Code, e.ReferenceID, e.MaskedImage, e.Passport
	if e.Code != "" {
		text := advice.For(e.Code)
		then.Message, then.NextAction = text.Message, text.NextAction
	}
	then.Earlier, then.Erased = cloneEarlier(r.Earlier[:i]), clonePtr(r.Erased)
	then.CreatedAt, then.UpdatedAt, then.CompletedAt = r.CreatedAt, completed, completed
	return then
}
