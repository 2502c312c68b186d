package logx_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/kycq/kycq/internal/logx"
)

func TestLinesAreJSONWithUTCTimeWithoutATerminal(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"auto", "json", ""} {
		var out bytes.Buffer
		log, err := logx.New(&out, format, "info")
		if err != nil {
			t.Fatal(err)
		}
		log.Debug().Msg("too quiet")
		log.Info().Str("kind", "aadhaar").Msg("done")

		var line struct{ Level, Time, Kind, Message string }
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatalf("format %q: %v in %q", format, err, out.String())
		}
		if line.Level != "info" || line.Kind != "aadhaar" || line.Message != "done" {
			t.Errorf("format %q: got %+v", format, line)
		}
		at, err := time.Parse("2006-01-02T15:04:05.000Z", line.Time)
		if err != nil || time.Since(at) > time.Minute || time.Since(at) < -time.Minute {
			t.Errorf("format %q: time %q is not now in UTC (%v)", format, line.Time, err)
		}
	}
}

func TestConsoleFormatHasNoColoursInAFile(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := logx.New(&out, "console", "debug")
	if err != nil {
		t.Fatal(err)
	}
	log.Debug().Str("kind", "aadhaar").Msg("done")
	if got := out.String(); !strings.Contains(got, "done kind=aadhaar") || strings.Contains(got, "\x1b") {
		t.Errorf("got %q", got)
	}
}

func TestNoLineControlsATerminal(t *testing.T) {
	t.Parallel()
	const hostile = "\x1b[2J\u009b31m\u202e"
	for _, format := range []string{"json", "console", "auto"} {
		var out bytes.Buffer
		log, err := logx.New(&out, format, "info")
		if err != nil {
			t.Fatal(err)
		}
		log.Error().Err(errors.New(hostile)).Str("reason", hostile).Msg(hostile)
		if got := strings.TrimSuffix(out.String(), "\n"); got == "" || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%s: %q", format, got)
		}
	}
}

func TestErrorsNameUnknownFormatsAndLevels(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ format, level, want string }{
		{"xml", "info", `log format "xml"`},
		{"json", "loud", `log level "loud"`},
	} {
		if _, err := logx.New(&bytes.Buffer{}, c.format, c.level); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s/%s: got %v", c.format, c.level, err)
		}
	}
}
