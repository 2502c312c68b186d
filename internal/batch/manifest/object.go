package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

var keyTwice = &Problem{"key_twice", "a key appears twice in the object"}

// DecodeObject reads a JSON object with the given keys, by the rules for the columns that kycq reads: each key at most once,
// a string or a plain integer. Keys are compared like headings. The key list, unless it is empty, has a list of such values.
func DecodeObject(text []byte, names []string, list string) (fields map[string]string, items []string, problem *Problem) {
	fields = map[string]string{}
	problem = decodeObject(text, func(key string, value any) (problem *Problem) {
		if values, isList := value.([]any); isList && list != "" && key == list && items == nil {
			items = []string{}
			for _, v := range values {
				text, problem := inputText(v)
				if problem != nil {
					return problem
				}
				items = append(items, text)
			}
			return nil
		}
		for _, name := range names {
			if normalize(key) != normalize(name) {
				continue
			}
			if _, found := fields[name]; found {
				return keyTwice
			}
			text, problem := inputText(value)
			fields[name] = strings.TrimSpace(text)
			return problem
		}
		return &Problem{"key_unknown", "unknown field: use " + strings.Join(names, ", ")}
	})
	return fields, items, problem
}

// decodeObject calls visit for each key in order, which a map would not keep, until it returns a Problem.
func decodeObject(text []byte, visit func(key string, value any) *Problem) *Problem {
	notJSON := &Problem{codeSyntax, "not one JSON object"}
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
	return "", &Problem{"value_type_wrong", "a field is not a string: put values into quotes (only plain integers may be without)"}
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
		return "", &Problem{codeNotFlat, "a value cannot be written to the report"}
	}
	return strings.TrimSuffix(text.String(), "\n"), nil
}
