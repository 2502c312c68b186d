package manifest

import "fmt"

// FileError says that the file as a whole cannot be read.
type FileError struct {
	Line    int    // where it was noticed, 0 where that says nothing
	Message string // what is wrong and what to do about it
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

// Problem is why a row is rejected. Code is stable, Message is for people; neither holds the row's values.
type Problem struct{ Code, Message string }

// The problems of a row that is not read into fields at all.
const (
	codeSyntax   = "syntax_invalid"
	codeFields   = "field_count_wrong"
	codeUTF8     = "text_not_utf8"
	codeNUL      = "text_has_nul"
	codeTooLong  = "row_too_long"
	codeNotFlat  = "value_not_flat"
	codeManyKeys = "too_many_columns"
)
