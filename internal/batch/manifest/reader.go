// Package manifest reads the file of a backfill, CSV or JSONL with one job per row, and stores it as sealed parts.
//
// The file is not trusted: it may be one line of 2 GB, a renamed zip, or contain a path to /etc/passwd. Memory is bounded by
// MaxRow and MaxColumns, whatever the file holds. A *FileError rejects the whole file, a *Problem one row.
// Neither quotes a cell, because cells are personal data. Reading the same bytes again gives the same rows with the same
// numbers.
//
// The package must not use Redis, queues or progress, and must open images only through Folder.
package manifest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/kycq/kycq/internal/forms"
	"github.com/kycq/kycq/tasks"
)

// The bounds of a file, which keep memory small.
const (
	// MaxRow is the length of the longest row in bytes, including quotes and line breaks.
	MaxRow = 16 << 10
	// MaxColumns is the highest number of columns.
	MaxColumns = 200
	// MaxRows is the highest number of rows of a batch: 33 days of calls at 100 a minute.
	MaxRows = 5_000_000
)

// FileError means that the file cannot be read.
type FileError struct {
	Line    int    // 0 if the error is not about one line
	Message string // what is wrong, and what to do about it
	// Quotes is true if the message quotes headings of the file.
	Quotes bool
}

func (e *FileError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("line %d: %s", e.Line, e.Message)
	}
	return e.Message
}

func fileError(line int, format string, args ...any) error {
	return &FileError{Line: line, Message: fmt.Sprintf(format, args...)}
}

func quotingError(line int, format string, args ...any) error {
	return &FileError{Line: line, Message: fmt.Sprintf(format, args...), Quotes: true}
}

// CodeMisspelled is the code of the only Problem whose message quotes a key of the file.
const CodeMisspelled = "key_misspelled"

// Problem is why a row is rejected. Code is stable, Message is for people; neither quotes cells.
type Problem struct {
	Code, Message string
	// Fields are the invalid fields one by one, if they are known.
	Fields []*tasks.InvalidError
}

// The codes of rows that cannot be read into fields.
const (
	codeSyntax   = "syntax_invalid"
	codeFields   = "field_count_wrong"
	codeUTF8     = "text_not_utf8"
	codeNUL      = "text_has_nul"
	codeTooLong  = "row_too_long"
	codeNotFlat  = "value_not_flat"
	codeManyKeys = "too_many_columns"
)

// Row is one row of the file.
type Row struct {
	// Number counts the rows of the file from 1, including rejected ones; Line is the line where it begins.
	Number, Line int
	// Fields are the cells by column. A JSONL row may have fewer cells than there are columns in the end.
	Fields []string
	// Text is the row as it is in the file, without the line end, but at most MaxRow bytes of it.
	Text string
	// Problem is set if the row cannot be read; Fields then holds the cells that could be.
	Problem *Problem

	columns *Columns
}

// Get returns the trimmed cell of a column that kycq reads, empty if the file does not have it.
func (r *Row) Get(name string) string {
	at, ok := r.columns.known[name]
	if !ok || at >= len(r.Fields) {
		return ""
	}
	return strings.TrimSpace(r.Fields[at])
}

// Reader reads the rows of a CSV or JSONL file.
type Reader struct {
	rows    rowReader
	columns *Columns
	number  int
	blank   int
}

// rowReader reads one of the two formats. read returns io.EOF at the end, and a *FileError if the rest cannot be read. A blank
// row has neither Fields nor a Problem.
type rowReader interface {
	read(row *Row) error
}

// NewReader detects the format and, for CSV, reads the headings. It returns a *FileError if the file is not valid.
func NewReader(src io.Reader, kind tasks.Kind, mapping map[string]string) (*Reader, error) {
	in := bufio.NewReaderSize(src, 64<<10)
	head, err := in.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := refuseOthers(head); err != nil {
		return nil, err
	}
	for bytes.HasPrefix(head, bom) { // a file that was converted twice has two
		_, _ = in.Discard(len(bom))
		head = head[len(bom):]
	}
	r := &Reader{columns: newColumns(kind, mapping)}
	switch first := bytes.TrimLeft(head, " \t\r\n"); {
	case len(first) == 0:
		return nil, fileError(0, "the file is empty")
	case first[0] == '[':
		return nil, fileError(1, "this is a JSON array: write one object per line (jq -c '.[]' FILE)")
	case first[0] == '{':
		r.rows = newJSONLReader(in, r.columns)
	default:
		if r.rows, err = newCSVReader(in, r.columns); err != nil {
			return nil, err
		}
	}
	return r, nil
}

var bom = []byte("\xef\xbb\xbf")

// refuseOthers recognizes common files that are neither CSV nor JSONL.
func refuseOthers(head []byte) error {
	for _, f := range []struct{ magic, what string }{
		{"PK\x03\x04", "this is a zip file (an .xlsx?): save the sheet as CSV UTF-8"},
		{"PK\x05\x06", "this is an empty zip file: save the sheet as CSV UTF-8"},
		{"\xd0\xcf\x11\xe0", "this is an old Excel file: save the sheet as CSV UTF-8"},
		{"\x1f\x8b", "this is a gzip file: decompress it first (gunzip -c FILE | kycq batch submit KIND -)"},
		{"%PDF", "this is a PDF: a manifest is CSV or JSONL"},
		{"\xff\xfe", "this is UTF-16: save it as CSV UTF-8"},
		{"\xfe\xff", "this is UTF-16: save it as CSV UTF-8"},
	} {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return fileError(0, "%s", f.what)
		}
	}
	if first := bytes.IndexAny(head, "\x00\r\n"); first >= 0 && head[first] == 0 {
		return fileError(1, "the first line holds NUL bytes: this is not a text file")
	}
	return nil
}

// Columns returns the headings read so far.
func (r *Reader) Columns() []string { return slices.Clone(r.columns.names) }

// ColumnsMayGrow reports whether further rows may add columns.
func (r *Reader) ColumnsMayGrow() bool {
	_, isJSONL := r.rows.(*jsonlReader)
	return isJSONL
}

// Blank returns how many blank rows were skipped so far: without text, or of nothing but separators.
func (r *Reader) Blank() int { return r.blank }

// Next reads the next row into row, and shares no memory with the previous one. It returns io.EOF at the end, and a
// *FileError if the rest cannot be read.
func (r *Reader) Next(row *Row) error {
	for {
		*row = Row{columns: r.columns}
		if err := r.rows.read(row); err != nil {
			return err
		}
		if row.Fields != nil || row.Problem != nil {
			break
		}
		r.blank++
	}
	if r.number++; r.number > MaxRows {
		return fileError(row.Line, "the file has more than %d rows: split it", MaxRows)
	}
	row.Number = r.number
	if row.Problem == nil {
		row.Problem = checkText(row.Fields)
	}
	return nil
}

func checkText(fields []string) *Problem {
	for _, f := range fields {
		switch {
		case strings.IndexByte(f, 0) >= 0:
			return &Problem{Code: codeNUL, Message: "the row holds NUL bytes"}
		case !utf8.ValidString(f):
			return &Problem{Code: codeUTF8, Message: "the row is not valid UTF-8: save the file as CSV UTF-8"}
		}
	}
	return nil
}

// blank reports whether a text is empty for people.
func blank(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsSpace(r) && !forms.IsInvisible(r) })
}

func allBlank(fields []string) bool {
	return !slices.ContainsFunc(fields, func(f string) bool { return !blank(f) })
}
