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
	"fmt"
	"io"
	"slices"
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
	fields := allFields
	if r.FailuresOnly {
		fields = failureFields
	}
	write, flush, err := r.writer(w, fields)
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

func (r *Report) writer(w io.Writer, fields []field) (write func(*batch.Row) error, flush func() error, err error) {
	if r.Format == JSONL {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return func(row *batch.Row) error { return e.Encode(r.object(row, fields)) }, func() error { return nil }, nil
	}
	out := csv.NewWriter(w)
	header, fields := r.header(fields)
	write = func(row *batch.Row) error { return out.Write(r.cells(row, fields)) }
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

// field is a column that kycq adds.
type field struct {
	name string
	of   func(r *batch.Row) any // string, int or bool
}

var (
	codeField    = field{"code", func(r *batch.Row) any { return r.Code() }}
	messageField = field{"message", func(r *batch.Row) any { return explain(r).Message }}
	allFields    = []field{
		{"line", func(r *batch.Row) any { return r.Item.Line }},
		{manifest.ColumnID, func(r *batch.Row) any { return r.Item.ID }},
		{"outcome", func(r *batch.Row) any { return outcome(r) }},
		{"already_done", func(r *batch.Row) any { return r.State.AlreadyDone() }},
		codeField,
		messageField,
		{"next_action", func(r *batch.Row) any { return explain(r).NextAction }},
		{"reference_id", func(r *batch.Row) any { return batch.ReferenceText(r) }},
		{"masked_image", func(r *batch.Row) any { return batch.MaskedURI(r) }},
		{"calls", func(r *batch.Row) any { return r.Calls() }},
		{"run", func(r *batch.Row) any { return run(r) }},
		{"first_called_at", func(r *batch.Row) any { return batch.TimeText(r.FirstCall()) }},
		{"completed_at", func(r *batch.Row) any { return completed(r) }},
	}
	failureFields = []field{codeField, messageField}
)

// outcome is the outcome of a row that has ended, else the state of its record.
func outcome(r *batch.Row) string {
	if o := r.State.Outcome(); o != "" {
		return o
	}
	if r.Own() {
		return string(r.Record.State)
	}
	return "queued"
}

// explain returns the texts of the row's record, or those for its code if the row has no record of its own.
func explain(r *batch.Row) advice.Text {
	if r.Own() {
		return advice.Text{Message: r.Record.Message, NextAction: r.Record.NextAction}
	}
	return advice.For(r.Code())
}

func run(r *batch.Row) int {
	if r.Own() {
		return r.Record.Run
	}
	return 0
}

func completed(r *batch.Row) string {
	if !r.Own() || !r.Record.State.Final() {
		return ""
	}
	return batch.TimeText(r.Record.CompletedAt)
}

// header returns the headings of a CSV report and the fields it has. A column of ours is renamed if the input has one of
// that name; the verification_id is left out instead.
func (r *Report) header(all []field) (header []string, fields []field) {
	taken := map[string]bool{}
	for _, name := range r.Columns {
		taken[strings.ToLower(strings.TrimSpace(name))] = true
		header = append(header, manifest.EscapeFormula(name))
	}
	fields = slices.DeleteFunc(slices.Clone(all), func(f field) bool { return f.name == manifest.ColumnID && taken[f.name] })
	for _, f := range fields {
		name := f.name
		if taken[name] {
			name = "kycq_" + name
		}
		header = append(header, name)
	}
	return header, fields
}

// cells returns a line of a CSV report.
func (r *Report) cells(row *batch.Row, fields []field) []string {
	cells := make([]string, 0, len(r.Columns)+len(fields))
	for i := range r.Columns {
		cell := ""
		if i < len(row.Item.Fields) {
			cell = row.Item.Fields[i]
		}
		cells = append(cells, manifest.EscapeFormula(cell))
	}
	for _, f := range fields {
		cells = append(cells, manifest.EscapeFormula(text(f.of(row))))
	}
	return cells
}

func text(value any) string {
	switch value {
	case true:
		return "yes"
	case false:
		return ""
	}
	return fmt.Sprint(value)
}

// object returns a line of a JSONL report. The input has an object of its own, so that no names can clash.
func (r *Report) object(row *batch.Row, fields []field) map[string]any {
	input := make(map[string]string, len(r.Columns))
	for i, name := range r.Columns {
		if i < len(row.Item.Fields) {
			input[name] = row.Item.Fields[i]
		}
	}
	object := map[string]any{"input": input}
	for _, f := range fields {
		object[f.name] = f.of(row)
	}
	return object
}
