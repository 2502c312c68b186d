package manifest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/kycq/kycq/tasks"
)

// The bounds of a file. They keep memory small on hostile files and are far above honest ones.
const (
	// MaxRow is the longest row in bytes, quotes and line breaks included.
	MaxRow = 16 << 10
	// MaxColumns is the most headings.
	MaxColumns = 200
	// MaxRows is the most rows of one batch: 33 days of calls at 100 a minute. Longer files are split.
	MaxRows = 5_000_000
)

// Row is one row of the file.
type Row struct {
	// Number counts the rows of the file from 1, rejected ones included; Line is where it begins.
	Number, Line int
	// Fields are the cells by the position of their column; JSONL rows may be shorter than the columns in the end.
	Fields []string
	// Problem is set where the row cannot be read; its fields then hold what could be.
	Problem *Problem

	columns *Columns
}

// Get returns the cell of a column that kycq knows, without surrounding space; empty where the file has no such column.
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
}

// rowReader is one of the two formats. read returns io.EOF at the end, *FileError where nothing more can be read.
type rowReader interface {
	read(row *Row) error
}

// NewReader looks at the first bytes and, for CSV, at the headings. The error is a *FileError where the file is to blame.
func NewReader(src io.Reader, kind tasks.Kind, mapping map[string]string) (*Reader, error) {
	in := bufio.NewReaderSize(src, 64<<10)
	head, err := in.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := refuseForeign(head); err != nil {
		return nil, err
	}
	if bytes.HasPrefix(head, bom) {
		_, _ = in.Discard(len(bom))
		head = head[len(bom):]
	}
	r := &Reader{columns: newColumns()}
	switch first := bytes.TrimLeft(head, " \t\r\n"); {
	case len(first) == 0:
		return nil, fileError(0, "the file is empty")
	case first[0] == '[':
		return nil, fileError(1, "this is a JSON array: write one object a line (jq -c '.[]' FILE)")
	case first[0] == '{':
		r.rows = newJSONLReader(in, kind, mapping, r.columns)
	default:
		if r.rows, err = newCSVReader(in, kind, mapping, r.columns); err != nil {
			return nil, err
		}
	}
	return r, nil
}

var bom = []byte("\xef\xbb\xbf")

// refuseForeign names the common files that are neither CSV nor JSONL.
func refuseForeign(head []byte) error {
	for _, f := range []struct{ magic, what string }{
		{"PK\x03\x04", "this is a zip file (an .xlsx?): save the sheet as CSV UTF-8"},
		{"PK\x05\x06", "this is an empty zip file: save the sheet as CSV UTF-8"},
		{"\xd0\xcf\x11\xe0", "this is an old Excel file: save the sheet as CSV UTF-8"},
		{"\x1f\x8b", "this is a gzip file: unpack it first (gunzip -c FILE | kycq batch submit KIND -)"},
		{"%PDF", "this is a PDF: a manifest is CSV or JSONL"},
		{"\xff\xfe", "this is UTF-16: save it as CSV UTF-8"},
		{"\xfe\xff", "this is UTF-16: save it as CSV UTF-8"},
	} {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return fileError(0, "%s", f.what)
		}
	}
	if line, _, _ := bytes.Cut(head, []byte("\n")); bytes.IndexByte(line, 0) >= 0 {
		return fileError(1, "the first line holds NUL bytes: this is not a text file")
	}
	return nil
}

// Columns are the headings read so far.
func (r *Reader) Columns() *Columns { return r.columns }

// Next reads the next row into row, reusing nothing of the last one. It returns io.EOF at the end, a *FileError where
// nothing more can be read.
func (r *Reader) Next(row *Row) error {
	*row = Row{columns: r.columns}
	if err := r.rows.read(row); err != nil {
		return err
	}
	if r.number++; r.number > MaxRows {
		return fileError(row.Line, "the file has over %d rows: split it", MaxRows)
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
			return &Problem{codeNUL, "the row holds NUL bytes"}
		case !utf8.ValidString(f):
			return &Problem{codeUTF8, "the row is not valid UTF-8: save the file as CSV UTF-8"}
		}
	}
	return nil
}
