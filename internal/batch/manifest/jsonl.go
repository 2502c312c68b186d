package manifest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// jsonlReader reads one flat JSON object per line. The columns are the keys of all objects.
type jsonlReader struct {
	lines   lines
	columns *Columns
	keys    map[string]int // positions of keys as they are first written, so that few need to be normalized
	similar map[int]string // the column that a key almost names, by its position
	rows    int            // lines that were read and not blank
}

func newJSONLReader(in *bufio.Reader, columns *Columns) *jsonlReader {
	return &jsonlReader{lines: lines{in: in}, columns: columns, keys: map[string]int{}, similar: map[int]string{}}
}

func (r *jsonlReader) read(row *Row) error {
	if err := r.lines.next(); err != nil {
		return err
	}
	row.Line, row.Text = r.lines.line, string(r.lines.text)
	text := bytes.TrimSpace(r.lines.text)
	switch {
	case r.lines.long:
		row.Problem = &Problem{Code: codeTooLong, Message: fmt.Sprintf("the line has more than %d bytes", MaxRow)}
		return r.lines.skip()
	case len(text) == 0:
		return nil
	case !utf8.Valid(text): // the decoder would silently insert replacement characters
		row.Problem = &Problem{Code: codeUTF8, Message: "the line is not valid UTF-8"}
	default:
		row.Fields, row.Problem = r.decode(text)
	}
	if r.rows++; r.rows == 1 && row.Problem != nil && !json.Valid(text) && beginsObject(text) {
		return fileError(row.Line, "the object goes on in the next line: write each object on one line (jq -c . FILE)")
	}
	return nil
}

// beginsObject reports whether text is the beginning of a JSON object.
func beginsObject(text []byte) bool {
	var object map[string]json.RawMessage
	err := json.NewDecoder(bytes.NewReader(text)).Decode(&object)
	return errors.Is(err, io.ErrUnexpectedEOF)
}

// decode decodes an object whose keys may be new columns.
func (r *jsonlReader) decode(text []byte) ([]string, *Problem) {
	fields := make([]string, len(r.columns.names), len(r.columns.names)+4)
	var seen [MaxColumns]bool
	problem := DecodeObject(text, func(key string, value any) (problem *Problem) {
		at, problem := r.column(key)
		switch {
		case problem != nil:
			return problem
		case seen[at]:
			return keyTwice
		}
		seen[at] = true
		for at >= len(fields) {
			fields = append(fields, "")
		}
		if r.columns.reads(at) {
			fields[at], problem = inputText(value)
		} else {
			fields[at], problem = reportText(value)
		}
		return problem
	})
	if problem != nil {
		return fields, problem
	}
	for at, name := range r.similar {
		if known, found := r.columns.known[name]; seen[at] && !(found && seen[known]) {
			return fields, &Problem{Code: CodeMisspelled, Message: "the key " + explainSimilar(r.columns.names[at], name)}
		}
	}
	return fields, nil
}

// column finds or adds the column of a key.
func (r *jsonlReader) column(key string) (int, *Problem) {
	at, found := r.keys[key]
	if !found {
		at, found = r.columns.index[r.columns.key(key)]
	}
	if found {
		return at, nil
	}
	at = len(r.columns.names)
	if at >= MaxColumns {
		return 0, &Problem{Code: codeManyKeys, Message: fmt.Sprintf("the file's objects have more than %d different keys", MaxColumns)}
	}
	r.columns.add(key)
	r.keys[r.columns.names[at]] = at
	if name := r.columns.similar(key); name != "" {
		r.similar[at] = name
	}
	return at, nil
}
