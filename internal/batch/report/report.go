// Package report writes the rows of a manifest with their outcomes, as CSV or JSONL. It streams: memory does not depend on
// the number of rows.
//
// A report holds the input, which is personal data. The report.csv that the feeder stores in S3 does not; package batch
// writes it.
package report

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/storage"
)

// Format is the format of a report.
type Format string

// The formats.
const (
	CSV   Format = "csv"
	JSONL Format = "jsonl"
)

// Report is what a report is made from.
type Report struct {
	Batch   *batch.Batch
	Parts   *batch.Parts
	Records batch.Records
	Client  batch.Preparer
	Columns []string // of the manifest
	Format  Format
	// FailuresOnly limits the report to failed and invalid rows (with Only.Mismatch to passports that differ from the input), and
	// to the columns of the input with code and message, so that they can be corrected and submitted again.
	FailuresOnly bool
	// NewIDs, with FailuresOnly, gives each row a verification_id that no job has, so that it can be submitted again. The old one
	// is in a column of its own.
	NewIDs bool
	// NoInput leaves the input out: the report has all columns that kycq adds, and holds no personal data.
	NoInput bool
	// Only limits the report further.
	Only Filter
	// Visited is called for each row of the batch.
	Visited func()

	// Write counts the written rows that may have been charged, and with NewIDs those that are valid under a new id already.
	MaybeCharged, FixedBefore int

	idColumn int             // of the manifest, or -1
	used     map[string]bool // the new ids
	id       string          // the new id of the row
}

// Any outcome, in a Filter.
const Any = "any"

// Filter selects rows by all that is set.
type Filter struct {
	Code, Outcome string
	Mismatch      bool // rows whose answer differs from the input in name, date of birth or file number
	Review        bool // rows whose image a person should look at
}

func (f Filter) matches(row *batch.Row) bool {
	return (f.Code == "" || batch.HasCode(f.Code, row.Code())) && (f.Outcome == "" || f.Outcome == Any || row.Value("outcome") == f.Outcome) &&
		(!f.Mismatch || row.Own() && row.Record.Passport.Mismatch()) && (!f.Review || row.Own() && row.Record.NeedsReview())
}

// Write writes the report and returns the number of its rows.
func (r *Report) Write(ctx context.Context, w io.Writer) (rows int, err error) {
	columns := allColumns
	if r.FailuresOnly && !r.NoInput {
		columns = failureColumns
	}
	if r.NewIDs {
		columns = newIDColumns
		r.used = map[string]bool{}
	}
	r.idColumn = manifest.IDColumn(r.Batch.Kind, r.Batch.Mapping, r.Columns)
	write, flush, err := r.writer(w, columns)
	if err != nil {
		return 0, err
	}
	err = r.Batch.Walk(ctx, r.Parts, r.Records, r.Client, func(row *batch.Row) error {
		defer r.Visited()
		if r.FailuresOnly && (!failed(row) && !r.Only.Mismatch || row.Erased()) || !r.Only.matches(row) {
			return nil
		}
		rows++
		if row.Own() && row.Record.MaybeCharged() {
			r.MaybeCharged++
		}
		if r.NewIDs {
			if err := r.newID(ctx, row); err != nil {
				return err
			}
		}
		return write(row)
	})
	if err != nil {
		return rows, err
	}
	return rows, flush()
}

func (r *Report) writer(w io.Writer, columns []string) (write func(*batch.Row) error, flush func() error, err error) {
	if r.Format == JSONL {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		object := func(row *batch.Row) map[string]any { return r.object(row, columns) }
		if r.NewIDs {
			header, added := r.header(columns)
			object = func(row *batch.Row) map[string]any { return r.flat(row, header, added) }
		}
		return func(row *batch.Row) error { return e.Encode(object(row)) }, func() error { return nil }, nil
	}
	out := csv.NewWriter(w)
	header, columns := r.header(columns)
	write = func(row *batch.Row) error { return out.Write(r.cells(row, columns)) }
	flush = func() error {
		out.Flush()
		return out.Error()
	}
	return write, flush, out.Write(header)
}

func failed(r *batch.Row) bool {
	switch r.State {
	case batch.RowFailed, batch.RowDoneFailed, batch.RowInvalid, batch.RowDoneInvalid, batch.RowConflict:
		return true
	}
	return false
}

const previousID = "previous_id"

// The columns that kycq adds.
var (
	allColumns = []string{
		"line", manifest.ColumnID, "outcome", "already_done", "code", "message", "next_action", "reference_id",
		"name_match", "dob_match", "file_number_match", "masked_image", "review", "calls", "run", "first_called_at", "completed_at",
	}
	failureColumns = []string{"code", "message"}
	newIDColumns   = []string{manifest.ColumnID, "code", "message", previousID}
)

func (r *Report) value(row *batch.Row, column string) any {
	switch column {
	case "message":
		return explain(row).Message
	case "next_action":
		return explain(row).NextAction
	case previousID:
		return row.Item.ID
	case manifest.ColumnID:
		if r.NewIDs {
			return r.id
		}
	}
	return row.Value(column)
}

// explain returns the texts of the row's record, or those for its code if the row has no record of its own.
func explain(r *batch.Row) advice.Text {
	if r.Erased() {
		return advice.Text{Message: "the data of this person was erased"}
	}
	if r.Own() {
		return advice.Text{Message: r.Record.Message, NextAction: r.Record.NextAction}
	}
	return advice.For(r.Code())
}

// header returns the headings of a CSV report and the added columns that it has. An added column is renamed if the input has
// one of that name; the verification_id is left out instead.
func (r *Report) header(all []string) (header, columns []string) {
	taken := map[string]bool{}
	for _, name := range r.Columns {
		taken[strings.ToLower(strings.TrimSpace(name))] = true
		header = append(header, manifest.EscapeFormula(name))
	}
	for _, name := range all {
		if name == manifest.ColumnID && (taken[name] || r.NewIDs && r.idColumn >= 0) {
			continue
		}
		heading := name
		for taken[heading] { // a report that was submitted as a manifest has them
			heading = "kycq_" + heading
		}
		taken[heading] = true
		header, columns = append(header, heading), append(columns, name)
	}
	return header, columns
}

// fields returns the cells of the input; of an erased row only the verification_id.
func (r *Report) fields(row *batch.Row) []string {
	if !row.Erased() {
		return row.Item.Fields[:min(len(r.Columns), len(row.Item.Fields))]
	}
	fields := make([]string, len(r.Columns))
	if r.idColumn >= 0 {
		fields[r.idColumn] = row.Item.ID
	}
	return fields
}

// cells returns a line of a CSV report.
func (r *Report) cells(row *batch.Row, columns []string) []string {
	cells := make([]string, len(r.Columns), len(r.Columns)+len(columns))
	for i, field := range r.fields(row) {
		cells[i] = manifest.EscapeFormula(field)
	}
	if r.NewIDs && r.idColumn >= 0 {
		cells[r.idColumn] = manifest.EscapeFormula(r.id)
	}
	for _, column := range columns {
		cells = append(cells, batch.Cell(r.value(row, column)))
	}
	return cells
}

// newID sets the new id of a row: the old one with the suffix .r2, .r3 and so on, the first that no job has. The same row gets the
// same id again, until it is submitted.
func (r *Report) newID(ctx context.Context, row *batch.Row) error {
	base := newSuffix.ReplaceAllString(row.Item.ID, "")
	for n := 2; ; n++ {
		suffix := ".r" + strconv.Itoa(n)
		r.id = base[:min(len(base), maxIDLength-len(suffix))] + suffix
		if r.used[r.id] {
			continue
		}
		rec, _, err := r.Records.Record(ctx, r.Batch.Kind, r.id)
		if errors.Is(err, storage.ErrNotFound) {
			r.used[r.id] = true
			return nil
		}
		if err != nil {
			return err
		}
		if rec.State == storage.StateValid {
			r.FixedBefore++
		}
	}
}

// maxIDLength is the length of the longest verification_id, see tasks.ValidateID.
const maxIDLength = 50

var newSuffix = regexp.MustCompile(`\.r[0-9]+$`)

// flat returns a line of JSONL that can be submitted as a manifest.
func (r *Report) flat(row *batch.Row, header, columns []string) map[string]any {
	line := map[string]any{}
	for i, field := range r.fields(row) {
		line[r.Columns[i]] = field
	}
	if r.idColumn >= 0 {
		line[r.Columns[r.idColumn]] = r.id
	}
	for i, column := range columns {
		line[header[len(r.Columns)+i]] = r.value(row, column)
	}
	return line
}

// object returns a line of a JSONL report. The input has an object of its own, so that no names can clash.
func (r *Report) object(row *batch.Row, columns []string) map[string]any {
	input := make(map[string]string, len(r.Columns))
	for i, field := range r.fields(row) {
		input[r.Columns[i]] = field
	}
	object := map[string]any{"input": input}
	if r.NoInput {
		delete(object, "input")
	}
	for _, column := range columns {
		object[column] = r.value(row, column)
	}
	return object
}
