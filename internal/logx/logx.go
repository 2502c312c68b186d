// Package logx builds the one logger of a process: zerolog, to stderr, JSON for machines and coloured lines for a person
// at a terminal. It knows no fields: which facts a line holds is decided where it is written, and nothing personal may be
// among them.
package logx

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"github.com/kycq/kycq/internal/forms"
)

// Formats and Levels are what New takes.
var (
	Formats = []string{"auto", "json", "console"}
	Levels  = []string{"debug", "info", "warn", "error"}
)

// New builds a logger that writes lines of the given level and above. The format auto is console where w is a terminal
// and json elsewhere; an empty format means auto, an empty level info.
func New(w io.Writer, format, level string) (zerolog.Logger, error) {
	if level == "" {
		level = "info"
	}
	lvl, err := zerolog.ParseLevel(level)
	if err != nil || lvl == zerolog.NoLevel {
		return zerolog.Nop(), fmt.Errorf("log level %q: use one of %s", level, strings.Join(Levels, ", "))
	}
	switch format {
	case "json":
	case "console":
		w = console(w)
	case "auto", "":
		if IsTerminal(w) {
			w = console(w)
		}
	default:
		return zerolog.Nop(), fmt.Errorf("log format %q: use one of %s", format, strings.Join(Formats, ", "))
	}
	return zerolog.New(w).Level(lvl).Hook(utcTime{}), nil
}

// utcTime stamps lines in UTC with milliseconds, so that those of all workers sort. zerolog's own Timestamp takes its
// form from process-wide variables.
type utcTime struct{}

func (utcTime) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str(zerolog.TimestampFieldName, forms.FormatTime(time.Now()))
}

func console(w io.Writer) io.Writer {
	return zerolog.ConsoleWriter{
		Out:          w,
		NoColor:      !IsTerminal(w), // the writer itself heeds NO_COLOR
		TimeFormat:   time.TimeOnly,
		TimeLocation: time.Local,
	}
}

// IsTerminal tells whether a person looks at what is written there.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
