package manifest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// jsonlReader reads one flat JSON object per line. The columns are the keys of all objects.
type jsonlReader struct {
	in      *bufio.Reader
	columns *Columns
	line    int
	buf     []byte
}

func (r *jsonlReader) read(row *Row) error {
	for {
		long, err := r.readLine()
		if err != nil {
			return err
		}
		row.Line = r.line
		text := bytes.TrimSpace(r.buf)
		switch {
		case long:
			row.Problem = &Problem{codeTooLong, fmt.Sprintf("the line has more than %d bytes", MaxRow)}
		case len(text) == 0:
			continue
		case !utf8.Valid(text): // the decoder would silently insert replacement characters
			row.Problem = &Problem{codeUTF8, "the line is not valid UTF-8"}
		default:
			row.Fields, row.Problem = r.decode(text)
		}
		return nil
	}
}

// readLine reads the next line into buf, or only its beginning if it is too long.
func (r *jsonlReader) readLine() (long bool, err error) {
	r.buf = r.buf[:0]
	r.line++
	for {
		chunk, err := r.in.ReadSlice('\n')
		if len(r.buf)+len(chunk) > MaxRow {
			long = true
		} else {
			r.buf = append(r.buf, chunk...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && (len(r.buf) > 0 || long):
			return long, nil
		case err != nil:
			return false, err
		default:
			return long, nil
		}
	}
}

// decode reads the keys in order, which a map would not keep.
func (r *jsonlReader) decode(text []byte) ([]string, *Problem) {
	notJSON := &Problem{codeSyntax, "the line is not one JSON object"}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, notJSON
	}
	fields := make([]string, len(r.columns.names), len(r.columns.names)+4)
	for d.More() {
		key, err := d.Token()
		name, isName := key.(string)
		if err != nil || !isName {
			return fields, notJSON
		}
		at, problem := r.column(name)
		if problem != nil {
			return fields, problem
		}
		var value any
		if err := d.Decode(&value); err != nil {
			return fields, notJSON
		}
		for at >= len(fields) {
			fields = append(fields, "")
		}
		if fields[at], problem = cell(value); problem != nil {
			return fields, problem
		}
	}
	if _, err := d.Token(); err != nil || d.More() {
		return fields, notJSON
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fields, notJSON
	}
	return fields, nil
}

// column finds or adds the column of a key.
func (r *jsonlReader) column(key string) (int, *Problem) {
	if at, found := r.columns.index[fold(key)]; found {
		return at, nil
	}
	if len(r.columns.names) >= MaxColumns {
		return 0, &Problem{codeManyKeys, fmt.Sprintf("the file's objects have more than %d different keys", MaxColumns)}
	}
	r.columns.add(key)
	r.columns.bind()
	return len(r.columns.names) - 1, nil
}

// cell formats a value as reports show it. Numbers keep their digits.
func cell(value any) (string, *Problem) {
	switch v := value.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		return fmt.Sprint(v), nil
	}
	var text strings.Builder
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return "", &Problem{codeNotFlat, "a value cannot be written to the report"}
	}
	return strings.TrimSuffix(text.String(), "\n"), nil
}
