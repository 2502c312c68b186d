package report

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/batch/manifest"
)

// Format is how a report is written.
type Format string

// The formats.
const (
	CSV   Format = "csv"
	JSONL Format = "jsonl"
)

// Job is what a report is made of.
type Job struct {
	Batch   *batch.Batch
	Parts   *batch.Parts
	Records batch.Records
	Client  batch.Preparer
	Columns []string
	Format  Format
	// FailuresOnly leaves out what ended well or has not ended, and all but code and message: the rest can be mended and
	// submitted again.
	FailuresOnly bool
	// Seen hears of each row that was looked at.
	Seen func()
}

// Write writes the report and returns how many rows are in it.
func (j *Job) Write(ctx context.Context, w io.Writer) (rows int, err error) {
	out := j.encoder(w)
	if err := out.header(); err != nil {
		return 0, err
	}
	err = j.Batch.Walk(ctx, j.Parts, j.Records, j.Client, func(r *batch.Row) error {
		defer j.Seen()
		if j.FailuresOnly && !failure(r) {
			return nil
		}
		rows++
		return out.row(r)
	})
	if err != nil {
		return rows, err
	}
	return rows, out.flush()
}

func failure(r *batch.Row) bool {
	switch r.State {
	case batch.RowFailed, batch.RowDoneFailed, batch.RowInvalid, batch.RowDoneInvalid, batch.RowConflict:
		return true
	}
	return false
}

type encoder interface {
	header() error
	row(r *batch.Row) error
	flush() error
}

func (j *Job) encoder(w io.Writer) encoder {
	fields := allFields
	if j.FailuresOnly {
		fields = failureFields
	}
	if j.Format == JSONL {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return &jsonl{out: e, columns: j.Columns, fields: fields}
	}
	return &csvFile{out: csv.NewWriter(w), columns: j.Columns, fields: fields}
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

// outcome is how the row ended, or the state of its record where it has not.
func outcome(r *batch.Row) string {
	if word := r.State.Outcome(); word != "" {
		return word
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

// csvFile writes cells that no spreadsheet runs.
type csvFile struct {
	out     *csv.Writer
	columns []string
	fields  []field
	cells   []string
}

// header gives a column of ours another name where the input has one of that name. The verification_id is not repeated
// where the input has it under its own name.
func (c *csvFile) header() error {
	taken := map[string]bool{}
	for _, name := range c.columns {
		taken[strings.ToLower(strings.TrimSpace(name))] = true
		c.cells = append(c.cells, manifest.EscapeFormula(name))
	}
	if taken[manifest.ColumnID] {
		c.fields = slices.DeleteFunc(slices.Clone(c.fields), func(f field) bool { return f.name == manifest.ColumnID })
	}
	for _, f := range c.fields {
		name := f.name
		if taken[name] {
			name = "kycq_" + name
		}
		c.cells = append(c.cells, name)
	}
	return c.out.Write(c.cells)
}

func (c *csvFile) row(r *batch.Row) error {
	c.cells = c.cells[:0]
	for i := range c.columns {
		cell := ""
		if i < len(r.Item.Fields) {
			cell = r.Item.Fields[i]
		}
		c.cells = append(c.cells, manifest.EscapeFormula(cell))
	}
	for _, f := range c.fields {
		c.cells = append(c.cells, manifest.EscapeFormula(text(f.of(r))))
	}
	return c.out.Write(c.cells)
}

func (c *csvFile) flush() error {
	c.out.Flush()
	return c.out.Error()
}

func text(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case int:
		return strconv.Itoa(v)
	case bool:
		if v {
			return "yes"
		}
		return ""
	}
	return fmt.Sprint(value)
}

// jsonl keeps the input apart, so that no name can clash.
type jsonl struct {
	out     *json.Encoder
	columns []string
	fields  []field
}

func (j *jsonl) header() error { return nil }
func (j *jsonl) flush() error  { return nil }

func (j *jsonl) row(r *batch.Row) error {
	input := make(map[string]string, len(j.columns))
	for i, name := range j.columns {
		if i < len(r.Item.Fields) {
			input[name] = r.Item.Fields[i]
		}
	}
	line := map[string]any{"input": input}
	for _, f := range j.fields {
		line[f.name] = f.of(r)
	}
	return j.out.Encode(line)
}
