// Package redact holds the types for secrets and personal data. Both print, log and marshal as a fixed word; only Reveal
// returns the text, which makes its uses easy to find.
//
// The text is behind a pointer: fmt prints unexported fields of an outer struct without calling their String method, and
// of a pointer it prints the address. Printers that follow pointers (go-cmp's Diff, go-spew) do reveal it, so only tests
// may import them.
package redact

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// Personal is a text about a person: a name, a date of birth, a document number. The zero value is empty.
type Personal = text[personal]

// Secret is a credential, a key or a bearer link. The zero value is empty.
type Secret = text[secret]

// NewPersonal wraps s.
func NewPersonal(s string) Personal { return wrap[personal](s) }

// NewSecret wraps s.
func NewSecret(s string) Secret { return wrap[secret](s) }

// label is what a text prints as.
type label interface{ label() string }

type (
	personal struct{}
	secret   struct{}
)

func (personal) label() string { return "[personal]" }
func (secret) label() string   { return "[secret]" }

type text[L label] struct{ value *string }

func wrap[L label](s string) text[L] {
	if s == "" {
		return text[L]{}
	}
	return text[L]{value: &s}
}

// Reveal returns the text. It must be encrypted, or sent to the service that it is meant for, and never printed.
func (t text[L]) Reveal() string {
	if t.value == nil {
		return ""
	}
	return *t.value
}

// Empty reports whether there is no text.
func (t text[L]) Empty() bool { return t.value == nil }

// Equal compares the texts in constant time. go-cmp uses it too.
func (t text[L]) Equal(other text[L]) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(other.Reveal())) == 1
}

// String returns the label, or "" if there is no text.
func (t text[L]) String() string {
	if t.value == nil {
		return ""
	}
	var l L
	return l.label()
}

// Format prints the label for every verb, also for %#v and %x.
func (t text[L]) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, t.String()) }

// MarshalText makes encoding/json, YAML and zerolog's Interface print the label.
func (t text[L]) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// LogValue makes log/slog print the label.
func (t text[L]) LogValue() slog.Value { return slog.StringValue(t.String()) }
