package manifest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// csvReader reads RFC 4180 as spreadsheets and databases write it, with any line ends. encoding/csv cannot be used, because
// after an unclosed quote it drops the rows up to the next quote, and it does not return a row as it is in the file.
//
// A wrong quote rejects its line only. A quoted cell may contain line breaks, unless they look like those between rows.
// Then a quote is missing somewhere, and the file is refused, because no one can tell where its rows begin.
type csvReader struct {
	lines   lines
	columns *Columns
	sep     byte
	width   int    // number of headings; 0 while they are read
	text    []byte // the last record as it is in the file
	cells   cells  // of the last record
	opened  int    // line of the last quote that was open at the end of a line
}

func newCSVReader(in *bufio.Reader, columns *Columns) (*csvReader, error) {
	r := &csvReader{lines: lines{in: in}, columns: columns, sep: ','}
	header, err := r.header()
	switch {
	case errors.Is(err, io.EOF):
		return nil, fileError(0, "the file is empty")
	case err != nil:
		return nil, err
	case header.Problem != nil:
		return nil, fileError(header.Line, "the headings are not valid CSV: %s", header.Problem.Message)
	}
	columns.line = header.Line
	if err := readHeader(columns, header.Fields); err != nil {
		return nil, err
	}
	if err := columns.missing(); err != nil {
		return nil, explainSeparator(header, err)
	}
	r.width = len(header.Fields)
	return r, nil
}

// header reads the first row that is not blank, and the separator before it.
func (r *csvReader) header() (Row, error) {
	for {
		var row Row
		err := r.record(&row)
		sep, isSep := separator(row.Text)
		switch {
		case err != nil:
			return row, err
		case isSep && !strings.ContainsRune(",;|\t", rune(sep)):
			return row, fileError(row.Line, "sep=: the separator must be a comma, semicolon, bar or tab")
		case isSep:
			r.sep = sep
		case row.Problem != nil || !allBlank(row.Fields):
			return row, nil
		}
	}
}

// separator parses the first line that Excel writes and reads, for example "sep=;".
func separator(line string) (sep byte, ok bool) {
	rest, ok := strings.CutPrefix(strings.ToLower(strings.Trim(line, `"`)), "sep=")
	if !ok || len(rest) != 1 {
		return 0, false
	}
	return rest[0], true
}

func readHeader(columns *Columns, header []string) error {
	line := columns.line
	if len(header) > MaxColumns {
		return fileError(line, "the file has %d columns: at most %d are supported", len(header), MaxColumns)
	}
	for i, heading := range header {
		switch {
		case !utf8.ValidString(heading):
			return fileError(line, "the headings are not valid UTF-8: save the file as CSV UTF-8")
		case strings.IndexByte(heading, 0) >= 0:
			return fileError(line, "the headings hold NUL bytes: this is not a text file")
		case blank(heading) && !columns.add(fmt.Sprintf("column_%d", i+1)):
			return fileError(line, "column %d has no heading", i+1)
		case blank(heading):
		case !columns.add(heading):
			return fileError(line, "columns %d and %d have the same heading", columns.index[columns.key(heading)]+1, i+1)
		}
	}
	return nil
}

// explainSeparator replaces err for files with another separator than the comma.
func explainSeparator(header Row, err error) error {
	if len(header.Fields) == 1 {
		for _, sep := range []struct{ char, name string }{{";", "semicolons"}, {"\t", "tabs"}, {"|", "bars"}} {
			if strings.Contains(header.Fields[0], sep.char) {
				return fileError(header.Line, "the columns are separated by %s: save the file with commas, or add the first line sep=%s", sep.name, sep.char)
			}
		}
	}
	return err
}

func (r *csvReader) read(row *Row) error {
	if err := r.record(row); err != nil {
		return err
	}
	if allBlank(row.Fields) && row.Problem == nil {
		row.Fields = nil
		return nil
	}
	for i, f := range row.Fields {
		row.Fields[i] = unescapeFormula(f)
	}
	if n := len(row.Fields); row.Problem == nil && n != r.width {
		row.Problem = &Problem{Code: codeFields, Message: fmt.Sprintf("the row has %d fields, but there are %d headings", n, r.width)}
	}
	row.Fields = row.Fields[:min(len(row.Fields), r.width)]
	return nil
}

// record reads one line, and further ones while a quote is open.
func (r *csvReader) record(row *Row) error {
	r.text, r.cells = r.text[:0], cells{text: r.cells.text[:0], ends: r.cells.ends[:0]}
	for more := true; more; more = r.cells.quoted && row.Problem == nil {
		if r.cells.quoted {
			r.text = append(r.text, r.lines.end...)
			r.cells.text = append(r.cells.text, r.lines.end...)
		}
		err := r.lines.next()
		switch {
		case errors.Is(err, io.EOF) && r.cells.quoted:
			return fileError(r.opened, "a quote is opened here and never closed")
		case err != nil:
			return err
		}
		if row.Line == 0 {
			row.Line = r.lines.line
		}
		if err := r.addLine(row); err != nil {
			return err
		}
	}
	row.Text = string(r.text)
	if row.Problem != nil {
		return nil
	}
	row.Fields = r.cells.split()
	return r.checkBreaks(row)
}

func (r *csvReader) addLine(row *Row) error {
	line, number := r.lines.text, r.lines.line
	r.text = append(r.text, line...)
	inQuotes, column := r.cells.quoted, len(r.cells.ends)
	problem := r.cells.add(line, r.sep)
	if r.cells.quoted && (!inQuotes || len(r.cells.ends) > column) {
		r.opened = number
	}
	tooLong := r.lines.long || len(r.text) > MaxRow
	switch {
	case tooLong && r.cells.quoted:
		return fileError(r.opened, "a quote is opened here and not closed within %d bytes", MaxRow)
	case tooLong && r.width == 0:
		return fileError(number, "the headings have more than %d bytes: this is not a CSV file with headings", MaxRow)
	case tooLong:
		return fileError(row.Line, "the row has more than %d bytes: is a quote missing?", MaxRow)
	case problem != "" && inQuotes:
		return fileError(r.opened, "a quote is opened here, but line %d has one that does not close it (%s)", number, problem)
	case problem != "":
		row.Problem = &Problem{Code: codeSyntax, Message: "the row is not valid CSV: " + problem}
	}
	return nil
}

// checkBreaks returns an error if a line break in a cell looks like one between two rows: then the cell has swallowed rows,
// because a closing quote is missing.
func (r *csvReader) checkBreaks(row *Row) error {
	line := row.Line
	for column, cell := range row.Fields {
		if r.width == 0 || !strings.ContainsAny(cell, "\r\n") {
			continue
		}
		parts := splitLines(cell)
		for i, part := range parts {
			want := r.width // the cells that this part of the cell has if it is a row, or a part of one
			switch i {
			case 0:
				want = r.width - column
			case len(parts) - 1:
				want = column + 1
			}
			if r.likeRow(part, want, column) {
				return fileError(line, "a quote is opened here, and the quoted cell goes on in line %d, which looks like another row: is the closing quote missing? If the cell is right, remove its line breaks, or submit the rows as JSONL", line+max(i, 1))
			}
		}
		line += len(parts) - 1
	}
	return nil
}

// likeRow reports whether a line of a quoted cell has that many cells, or a date or image where a row has it. Commas of
// prose are followed by a space. The columns that kycq reads have no commas.
func (r *csvReader) likeRow(line string, want, column int) bool {
	cells := strings.Split(line, string(r.sep))
	if len(cells) > 1 && r.columns.reads(column) {
		return true
	}
	if len(cells) == want && want > 1 && !slices.ContainsFunc(cells, func(c string) bool { return strings.HasPrefix(c, " ") }) {
		return true
	}
	for name, form := range rowForms {
		at, found := r.columns.known[name]
		if found && len(cells) > 1 && at < len(cells) && form.MatchString(strings.TrimSpace(cells[at])) {
			return true
		}
	}
	return false
}

// rowForms are the forms of cells that make a line look like a row.
var rowForms = map[string]*regexp.Regexp{
	ColumnDOB:   regexp.MustCompile(`^\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}$`),
	ColumnImage: regexp.MustCompile(`(?i)^s3://|\.(jpe?g|png)$`),
}

func splitLines(text string) []string {
	return strings.Split(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n"), "\n")
}

// cells are the cells of a record, one after another.
type cells struct {
	text   []byte
	ends   []int
	quoted bool // a quote is open
}

// add parses a line, or its part after those that were added before. It returns what is wrong with the quotes, in words
// that never quote the row.
func (c *cells) add(line []byte, sep byte) (problem string) {
	for i := 0; ; {
		switch {
		case c.quoted:
			n := bytes.IndexByte(line[i:], '"')
			if n < 0 {
				c.text = append(c.text, line[i:]...)
				return ""
			}
			c.text = append(c.text, line[i:i+n]...)
			if i += n + 1; i < len(line) && line[i] == '"' {
				c.text = append(c.text, '"')
				i++
				continue
			}
			if c.quoted = false; i < len(line) && line[i] != sep {
				return "a quote inside or after a quoted field (write it twice)"
			}
		case i < len(line) && line[i] == '"':
			c.quoted = true
			i++
			continue
		default:
			n := bytes.IndexByte(line[i:], sep)
			if n < 0 {
				n = len(line) - i
			}
			if bytes.IndexByte(line[i:i+n], '"') >= 0 {
				return "a quote in a field that is not quoted"
			}
			c.text = append(c.text, line[i:i+n]...)
			i += n
		}
		if c.ends = append(c.ends, len(c.text)); i == len(line) {
			return ""
		}
		i++
	}
}

// split returns the cells in one allocation of text.
func (c *cells) split() []string {
	text, fields, from := string(c.text), make([]string, len(c.ends)), 0
	for i, end := range c.ends {
		fields[i], from = text[from:end], end
	}
	return fields
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
