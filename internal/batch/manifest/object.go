package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

var keyTwice = &Problem{Code: "key_twice", Message: "a key appears twice in the object"}

// TextFields reads a JSON object with the given keys, by the rules for the columns that kycq reads: each key at most once, a
// string or a plain integer. Keys are compared like headings.
func TextFields(text []byte, names []string) (fields map[string]string, problem *Problem) {
	fields = map[string]string{}
	problem = DecodeObject(text, func(key string, value any) (problem *Problem) {
		at := slices.IndexFunc(names, func(name string) bool { return normalize(name) == normalize(key) })
		if at < 0 {
			return &Problem{Code: "key_unknown", Message: "unknown field: use " + strings.Join(names, ", ")}
		}
		if _, found := fields[names[at]]; found {
			return keyTwice
		}
		text, problem := inputText(value)
		fields[names[at]] = strings.TrimSpace(text)
		return problem
	})
	return fields, problem
}

// DecodeObject calls visit for each key of a JSON object in order, which a map would not keep, until it returns a Problem. Numbers
// are of type json.Number.
func DecodeObject(text []byte, visit func(key string, value any) *Problem) *Problem {
	notJSON := &Problem{Code: codeSyntax, Message: "not one JSON object"}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return notJSON
	}
	for d.More() {
		key, err := d.Token()
		name, isName := key.(string)
		if err != nil || !isName {
			return notJSON
		}
		var value any
		if err := d.Decode(&value); err != nil {
			return notJSON
		}
		if problem := visit(name, value); problem != nil {
			return problem
		}
	}
	if _, err := d.Token(); err != nil {
		return notJSON
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return notJSON
	}
	return nil
}

var plainInteger = regexp.MustCompile(`^[0-9]+$`)

// inputText returns a value that is sent to the vendor or names a job. Without these rules 1e5 and true would be ids.
func inputText(value any) (string, *Problem) {
	switch v := value.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case json.Number:
		if plainInteger.MatchString(v.String()) {
			return v.String(), nil
		}
	}
	return "", &Problem{Code: "value_type_wrong", Message: "a field is not a string: put values into quotes (only plain integers may be without)"}
}

// reportText formats a value as reports show it. Numbers keep their digits.
func reportText(value any) (string, *Problem) {
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
		return "", &Problem{Code: codeNotFlat, Message: "a value cannot be written to the report"}
	}
	return strings.TrimSuffix(text.String(), "\n"), nil
}
