// Package logx builds the zerolog logger of a process: JSON lines, or coloured text for a terminal. Callers must not log
// personal data.
package logx

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"github.com/kycq/kycq/internal/forms"
	"github.com/kycq/kycq/internal/printable"
)

// New builds a logger for messages of the given level and above. Format auto means console if w is a terminal, otherwise
// json. Format defaults to auto, level to info.
func New(w io.Writer, format, level string) (zerolog.Logger, error) {
	if level == "" {
		level = "info"
	}
	lvl, err := zerolog.ParseLevel(level)
	if err != nil || lvl == zerolog.NoLevel {
		return zerolog.Nop(), fmt.Errorf("log level %q: use debug, info, warn or error", level)
	}
	switch format {
	case "json":
		w = printable.Writer(w)
	case "console":
		w = console(w)
	case "auto", "":
		if IsTerminal(w) {
			w = console(w)
		} else {
			w = printable.Writer(w)
		}
	default:
		return zerolog.Nop(), fmt.Errorf("log format %q: use auto, json or console", format)
	}
	return zerolog.New(w).Level(lvl).Hook(utcTime{}), nil
}

// utcTime adds the time in UTC with milliseconds, in a form that sorts. The form of zerolog's own timestamps is a
// process-wide variable.
type utcTime struct{}

func (utcTime) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str(zerolog.TimestampFieldName, forms.FormatTime(time.Now()))
}

func console(w io.Writer) io.Writer {
	return zerolog.ConsoleWriter{
		Out:          w,
		NoColor:      !IsTerminal(w), // ConsoleWriter itself honours NO_COLOR
		TimeFormat:   time.TimeOnly,
		TimeLocation: time.Local,
		FieldsOrder:  []string{"kind", "job", "batch", "line", "outcome", "code"},
		FormatPrepare: func(event map[string]any) error { // zerolog quotes fields, but no messages
			if text, ok := event[zerolog.MessageFieldName].(string); ok {
				event[zerolog.MessageFieldName] = printable.Text(text)
			}
			return nil
		},
	}
}

// IsTerminal reports whether w is a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Width returns the columns of the terminal w, or 0 if w is no terminal.
func Width(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
}
