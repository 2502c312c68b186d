package manifest

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// csvReader reads RFC 4180 as Excel and databases write it, with CRLF and quoted newlines.
type csvReader struct {
	csv   *csv.Reader
	meter *meter
	width int
	line  int // where the last row begins
}

func newCSVReader(in io.Reader, columns *Columns) (*csvReader, error) {
	m := &meter{src: in}
	m.refill()
	r := &csvReader{csv: csv.NewReader(m), meter: m, line: 1}
	r.csv.ReuseRecord = true
	r.csv.FieldsPerRecord = -1
	header, err := r.csv.Read()
	switch {
	case errors.Is(err, errRowTooLong):
		return nil, fileError(1, "the first line has more than %d bytes: this is not a CSV file with headings", MaxRow)
	case errors.Is(err, io.EOF):
		return nil, fileError(0, "the file is empty")
	case isSyntax(err):
		return nil, fileError(1, "the headings are not valid CSV: %s", syntaxText(err))
	case err != nil:
		return nil, err
	}
	if err := readHeader(columns, header); err != nil {
		return nil, err
	}
	columns.bind()
	if err := columns.missing(); err != nil {
		return nil, explainSeparator(header, err)
	}
	r.width = len(header)
	return r, nil
}

func readHeader(columns *Columns, header []string) error {
	if len(header) > MaxColumns {
		return fileError(1, "the file has %d columns: at most %d are supported", len(header), MaxColumns)
	}
	for i, heading := range header {
		switch {
		case !utf8.ValidString(heading):
			return fileError(1, "the headings are not valid UTF-8: save the file as CSV UTF-8")
		case strings.IndexByte(heading, 0) >= 0:
			return fileError(1, "the headings hold NUL bytes: this is not a text file")
		case fold(heading) == "" && !columns.add(fmt.Sprintf("column_%d", i+1)):
			return fileError(1, "column %d has no heading", i+1)
		case fold(heading) == "":
		case !columns.add(heading):
			return fileError(1, "columns %d and %d have the same heading", columns.index[fold(heading)]+1, i+1)
		}
	}
	return nil
}

// explainSeparator replaces err for files with another separator than the comma.
func explainSeparator(header []string, err error) error {
	if len(header) == 1 {
		for _, sep := range []struct{ char, name string }{{";", "semicolons"}, {"\t", "tabs"}, {"|", "bars"}} {
			if strings.Contains(header[0], sep.char) {
				return fileError(1, "the columns are separated by %s: save the file with commas", sep.name)
			}
		}
	}
	return err
}

func (r *csvReader) read(row *Row) error {
	r.meter.refill()
	fields, err := r.csv.Read()
	switch {
	case errors.Is(err, io.EOF):
		return io.EOF
	case errors.Is(err, errRowTooLong):
		return fileError(r.line+1, "this row or the next has more than %d bytes: is a closing quote missing?", MaxRow)
	case isSyntax(err):
		var parse *csv.ParseError
		_ = errors.As(err, &parse)
		row.Line, r.line = parse.StartLine, parse.Line
		row.Problem = &Problem{codeSyntax, "the row is not valid CSV: " + syntaxText(err)}
		return nil
	case err != nil:
		return err
	}
	row.Line, _ = r.csv.FieldPos(0)
	r.line = row.Line
	row.Fields = make([]string, len(fields))
	for i, f := range fields {
		row.Fields[i] = unescapeFormula(f)
	}
	if len(fields) != r.width {
		row.Problem = &Problem{codeFields, fmt.Sprintf("the row has %d fields, but there are %d headings", len(fields), r.width)}
		row.Fields = row.Fields[:min(len(fields), r.width)]
	}
	return nil
}

func isSyntax(err error) bool {
	var parse *csv.ParseError
	return errors.As(err, &parse)
}

// syntaxText describes a syntax error in fixed words: encoding/csv does not promise that its texts never quote the row.
func syntaxText(err error) string {
	switch {
	case errors.Is(err, csv.ErrQuote):
		return "a quote inside or after a quoted field (write it twice)"
	case errors.Is(err, csv.ErrBareQuote):
		return "a quote in a field that is not quoted"
	}
	return "the quotes do not match"
}

var errRowTooLong = errors.New("row too long")

// meter limits how much encoding/csv reads for one row, because it would hold a row of 2 GB in memory.
type meter struct {
	src  io.Reader
	left int
}

// readAhead is the size of the buffer of encoding/csv, which it fills beyond the row.
const readAhead = 4096

func (m *meter) refill() { m.left = MaxRow + readAhead }

func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, errRowTooLong
	}
	n, err := m.src.Read(p[:min(len(p), m.left)])
	m.left -= n
	return n, err
}

// formulaStart are the characters that make a spreadsheet run a cell as a formula. CSV files that kycq writes have an
// apostrophe before such a cell; when kycq reads them again, it removes the apostrophe.
const formulaStart = "=+-@\t\r"

// EscapeFormula returns the cell so that a spreadsheet does not run it.
func EscapeFormula(cell string) string {
	if cell != "" && strings.IndexByte(formulaStart, cell[0]) >= 0 {
		return "'" + cell
	}
	return cell
}

// unescapeFormula reverses EscapeFormula.
func unescapeFormula(cell string) string {
	if len(cell) > 1 && cell[0] == '\'' && strings.IndexByte(formulaStart, cell[1]) >= 0 {
		return cell[1:]
	}
	return cell
}
