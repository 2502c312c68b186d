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
	err = j.Batch.Walk(ctx, j.Parts, j.Records, j.Client, func(e *batch.Entry) error {
		defer j.Seen()
		if j.FailuresOnly && !failure(e) {
			return nil
		}
		rows++
		return out.row(e)
	})
	if err != nil {
		return rows, err
	}
	return rows, out.flush()
}

func failure(e *batch.Entry) bool {
	switch e.State {
	case batch.RowFailed, batch.RowDoneFailed, batch.RowInvalid, batch.RowDoneInvalid, batch.RowConflict:
		return true
	}
	return false
}

type encoder interface {
	header() error
	row(e *batch.Entry) error
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
	of   func(e *batch.Entry) any // string, int or bool
}

var (
	codeField    = field{"code", func(e *batch.Entry) any { return e.Code() }}
	messageField = field{"message", func(e *batch.Entry) any { return explain(e).Message }}
	allFields    = []field{
		{"line", func(e *batch.Entry) any { return e.Item.Line }},
		{manifest.ColumnID, func(e *batch.Entry) any { return e.Item.ID }},
		{"outcome", func(e *batch.Entry) any { return outcome(e) }},
		{"already_done", func(e *batch.Entry) any { return e.State.Elsewhere() }},
		codeField,
		messageField,
		{"next_action", func(e *batch.Entry) any { return explain(e).NextAction }},
		{"reference_id", func(e *batch.Entry) any { return batch.ReferenceText(e) }},
		{"masked_image", func(e *batch.Entry) any { return batch.MaskedURI(e) }},
		{"calls", func(e *batch.Entry) any { return e.Calls() }},
		{"run", func(e *batch.Entry) any { return run(e) }},
		{"first_called_at", func(e *batch.Entry) any { return batch.TimeText(e.FirstCall()) }},
		{"completed_at", func(e *batch.Entry) any { return completed(e) }},
	}
	failureFields = []field{codeField, messageField}
)

// outcome is how the row ended, or the state of its record where it has not.
func outcome(e *batch.Entry) string {
	if word := e.State.Outcome(); word != "" {
		return word
	}
	if e.Own() {
		return string(e.Record.State)
	}
	return "queued"
}

// explain returns the texts of the row's record, or those for its code if the row has no record of its own.
func explain(e *batch.Entry) advice.Text {
	if e.Own() {
		return advice.Text{Message: e.Record.Message, NextAction: e.Record.NextAction}
	}
	return advice.For(e.Code())
}

func run(e *batch.Entry) int {
	if e.Own() {
		return e.Record.Run
	}
	return 0
}

func completed(e *batch.Entry) string {
	if !e.Own() || !e.Record.State.Final() {
		return ""
	}
	return batch.TimeText(e.Record.CompletedAt)
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

func (c *csvFile) row(e *batch.Entry) error {
	c.cells = c.cells[:0]
	for i := range c.columns {
		cell := ""
		if i < len(e.Item.Fields) {
			cell = e.Item.Fields[i]
		}
		c.cells = append(c.cells, manifest.EscapeFormula(cell))
	}
	for _, f := range c.fields {
		c.cells = append(c.cells, manifest.EscapeFormula(text(f.of(e))))
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

func (j *jsonl) row(e *batch.Entry) error {
	input := make(map[string]string, len(j.columns))
	for i, name := range j.columns {
		if i < len(e.Item.Fields) {
			input[name] = e.Item.Fields[i]
		}
	}
	line := map[string]any{"input": input}
	for _, f := range j.fields {
		line[f.name] = f.of(e)
	}
	return j.out.Encode(line)
}
