package batch

import "github.com/kycq/kycq/storage"

// RowState is what the board knows of a row, in four bits.
type RowState byte

// The states of a row. Rows whose id had its final record from elsewhere are counted apart: they were not called for.
const (
	RowOpen RowState = iota
	RowValid
	RowInvalid
	RowFailed
	RowCancelled
	RowConflict // its id belongs to a job with another input
	RowDoneValid
	RowDoneInvalid
	RowDoneFailed
	RowDoneCancelled

	// rowEarlier is for rows that ended before the board was lost: the summary counts them.
	rowEarlier RowState = 15
)

const rowStates = int(RowDoneCancelled) + 1

// CodeDifferentInput is the code of a row in conflict.
const CodeDifferentInput = "different_input"

var ownState = map[storage.State]RowState{
	storage.StateValid: RowValid, storage.StateInvalid: RowInvalid,
	storage.StateFailed: RowFailed, storage.StateCancelled: RowCancelled,
}

// elsewhere is the distance between a row's own end and the same one from elsewhere.
const elsewhere = RowDoneValid - RowValid

// Judge tells how a row stands by the record of its id: nil where there is none. run is the one that the row asks for.
func Judge(rec *storage.Record, fingerprint, batch string, run int) RowState {
	switch {
	case rec == nil:
		return RowOpen
	case rec.Erased == nil && rec.Fingerprint != fingerprint:
		return RowConflict
	case !rec.State.Final(), rec.Run < run:
		return RowOpen
	case rec.Batch != batch:
		return ownState[rec.State] + elsewhere
	}
	return ownState[rec.State]
}

// Outcome is the word of a report for a row's state.
func (s RowState) Outcome() string {
	switch s {
	case RowValid, RowDoneValid:
		return string(storage.StateValid)
	case RowInvalid, RowDoneInvalid:
		return string(storage.StateInvalid)
	case RowFailed, RowDoneFailed, RowConflict:
		return string(storage.StateFailed)
	case RowCancelled, RowDoneCancelled:
		return string(storage.StateCancelled)
	case RowOpen, rowEarlier:
	}
	return ""
}

// Elsewhere tells whether the row's job was done by somebody else.
func (s RowState) Elsewhere() bool { return s >= RowDoneValid && s <= RowDoneCancelled }
