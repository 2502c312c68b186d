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
	"io"
	"strings"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/batch/manifest"
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
	// FailuresOnly limits the report to failed and invalid rows, and to the columns of the input with code and message, so
	// that they can be corrected and submitted again.
	FailuresOnly bool
	// Visited is called for each row of the batch.
	Visited func()
}

// Write writes the report and returns the number of its rows.
func (r *Report) Write(ctx context.Context, w io.Writer) (rows int, err error) {
	columns := allColumns
	if r.FailuresOnly {
		columns = failureColumns
	}
	write, flush, err := r.writer(w, columns)
	if err != nil {
		return 0, err
	}
	err = r.Batch.Walk(ctx, r.Parts, r.Records, r.Client, func(row *batch.Row) error {
		defer r.Visited()
		if r.FailuresOnly && !failed(row) {
			return nil
		}
		rows++
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
		return func(row *batch.Row) error { return e.Encode(r.object(row, columns)) }, func() error { return nil }, nil
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

// The columns that kycq adds.
var (
	allColumns = []string{
		"line", manifest.ColumnID, "outcome", "already_done", "code", "message", "next_action", "reference_id", "masked_image",
		"calls", "run", "first_called_at", "completed_at",
	}
	failureColumns = []string{"code", "message"}
)

func value(r *batch.Row, column string) any {
	switch column {
	case "message":
		return explain(r).Message
	case "next_action":
		return explain(r).NextAction
	}
	return r.Value(column)
}

// explain returns the texts of the row's record, or those for its code if the row has no record of its own.
func explain(r *batch.Row) advice.Text {
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
		switch {
		case !taken[name]:
			header, columns = append(header, name), append(columns, name)
		case name != manifest.ColumnID:
			header, columns = append(header, "kycq_"+name), append(columns, name)
		}
	}
	return header, columns
}

// cells returns a line of a CSV report.
func (r *Report) cells(row *batch.Row, columns []string) []string {
	cells := make([]string, len(r.Columns), len(r.Columns)+len(columns))
	for i := range min(len(r.Columns), len(row.Item.Fields)) {
		cells[i] = manifest.EscapeFormula(row.Item.Fields[i])
	}
	for _, column := range columns {
		cells = append(cells, batch.Cell(value(row, column)))
	}
	return cells
}

// object returns a line of a JSONL report. The input has an object of its own, so that no names can clash.
func (r *Report) object(row *batch.Row, columns []string) map[string]any {
	input := make(map[string]string, len(r.Columns))
	for i := range min(len(r.Columns), len(row.Item.Fields)) {
		input[r.Columns[i]] = row.Item.Fields[i]
	}
	object := map[string]any{"input": input}
	for _, column := range columns {
		object[column] = value(row, column)
	}
	return object
}
