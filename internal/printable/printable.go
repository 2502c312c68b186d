// Package printable writes texts so that they cannot control a terminal: escape sequences, and characters that reorder or hide
// others, are shown as \u escapes. Texts of Cashfree, of manifests, and from S3 and Redis may have any.
package printable

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Text returns s with a \u escape, as in JSON, for each rune that is not printable, except line feeds, tabs and the two joiners
// that Indian scripts need. JSON keeps its meaning.
func Text(s string) string {
	if !strings.ContainsFunc(s, hidden) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch hi, lo := utf16.EncodeRune(r); {
		case !hidden(r) && r != utf8.RuneError:
			b.WriteRune(r)
		case hi != utf8.RuneError:
			_, _ = fmt.Fprintf(&b, `\u%04x\u%04x`, hi, lo)
		default:
			_, _ = fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func hidden(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d'
	return r != '\n' && r != '\t' && r != nonJoiner && r != joiner && !unicode.IsPrint(r)
}

// Writer returns a writer that writes Text of what it gets to w. It may be used concurrently if each Write is of whole characters;
// else it keeps the beginning of a character for the next Write.
func Writer(w io.Writer) io.Writer { return &writer{Writer: w} }

type writer struct {
	io.Writer
	rest []byte
}

func (w *writer) Write(p []byte) (int, error) {
	text, end := p, len(p)
	if len(w.rest) > 0 {
		text = slices.Concat(w.rest, p)
		w.rest, end = nil, len(text)
	}
	for i := end - 1; i >= max(0, end-utf8.UTFMax); i-- {
		if utf8.RuneStart(text[i]) {
			if !utf8.FullRune(text[i:]) {
				w.rest, end = slices.Clone(text[i:]), i
			}
			break
		}
	}
	if _, err := io.WriteString(w.Writer, Text(string(text[:end]))); err != nil {
		return 0, err
	}
	return len(p), nil
}
