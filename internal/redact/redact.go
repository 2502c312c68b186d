// Package redact holds the two types that secrets and personal fields travel in. Both print, log and marshal as a
// fixed word; the value itself takes an explicit call to Reveal, which is easy to find with grep.
//
// The value sits behind a pointer on purpose: fmt prints unexported fields of an outer struct without calling their
// String method, and a pointer shows as an address there, never as the text. Printers that follow pointers (go-cmp's
// Diff, go-spew) do reveal it; the linter keeps them out of code that is not a test.
package redact

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

const (
	maskedPersonal = "[personal]"
	maskedSecret   = "[secret]"
)

// Personal is a field about a person: a name, a date of birth, a document number. The zero value is empty.
type Personal struct{ value *string }

// NewPersonal wraps s.
func NewPersonal(s string) Personal {
	if s == "" {
		return Personal{}
	}
	return Personal{value: &s}
}

// Reveal returns the text. What it returns must be sealed or sent to the vendor, never printed.
func (p Personal) Reveal() string { return deref(p.value) }

// Empty tells whether there is no text.
func (p Personal) Empty() bool { return p.value == nil }

// Equal compares the texts; it lets go-cmp compare structs that hold personal fields.
func (p Personal) Equal(q Personal) bool { return p.Reveal() == q.Reveal() }

func (p Personal) String() string { return show(p.value, maskedPersonal) }

// Format covers every verb, %#v and %x included.
func (p Personal) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, p.String()) }

// MarshalText makes encoding/json, YAML and zerolog's Interface print the mask.
func (p Personal) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// LogValue makes log/slog print the mask.
func (p Personal) LogValue() slog.Value { return slog.StringValue(p.String()) }

// Secret is a credential, a key or a bearer link. The zero value is empty.
type Secret struct{ value *string }

// NewSecret wraps s.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{value: &s}
}

// Reveal returns the text. What it returns must go to the remote that it is meant for, never into a print.
func (s Secret) Reveal() string { return deref(s.value) }

// Empty tells whether there is no text.
func (s Secret) Empty() bool { return s.value == nil }

// Equal compares the texts in constant time.
func (s Secret) Equal(t Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(t.Reveal())) == 1
}

func (s Secret) String() string { return show(s.value, maskedSecret) }

// Format covers every verb, %#v and %x included.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, s.String()) }

// MarshalText makes encoding/json, YAML and zerolog's Interface print the mask.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue makes log/slog print the mask.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

func deref(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

func show(p *string, mask string) string {
	if p == nil {
		return ""
	}
	return mask
}
