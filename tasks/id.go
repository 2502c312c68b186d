package tasks

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// MaxIDLength is the longest verification_id that Cashfree takes (its passport page: "maximum character limit is 50").
const MaxIDLength = 50

// MaxDerived is the highest n of a derived id: with three digits the longest one is exactly MaxIDLength long.
const MaxDerived = 999

// derivedStem is how much of the original id a derived one keeps: 36 + ".k999." + 8 = 50.
const derivedStem = 36

var derivedForm = regexp.MustCompile(`(?i)\.k[0-9]{1,3}\.[a-z2-7]{8}$`)

// ValidateID checks a verification_id: 1 to 50 of [A-Za-z0-9._-] with at least one letter or digit (so that it can be part
// of an S3 key and a file name), and not of the form that DerivedID makes.
func ValidateID(id string) error {
	invalid := func(code, format string, args ...any) error {
		return &InvalidError{Field: "verification_id", Code: code, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case id == "":
		return invalid("verification_id_missing", "is missing")
	case len(id) > MaxIDLength:
		return invalid("verification_id_length_exceeded", "has %d characters: at most %d are allowed", len(id), MaxIDLength)
	}
	alphanumeric := false
	for _, c := range []byte(id) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
			alphanumeric = true
		case c == '.', c == '_', c == '-':
		default:
			return invalid("verification_id_value_invalid", "may hold only letters, digits, dot, hyphen and underscore")
		}
	}
	if !alphanumeric {
		return invalid("verification_id_value_invalid", "needs at least one letter or digit")
	}
	if derivedForm.MatchString(id) {
		return invalid("verification_id_reserved", "ends like an id that kycq derives itself (.k<number>.<8 characters>): choose another")
	}
	return nil
}

// DerivedID is the provider id number n (1 to MaxDerived) of a job whose own id is used up at Cashfree. It depends on
// nothing but its arguments, so every worker derives the same one.
func DerivedID(kind Kind, id string, n int) string {
	sum := sha256.Sum256([]byte(string(kind) + "\x00" + id + "\x00" + strconv.Itoa(n)))
	stem := id
	if len(stem) > derivedStem {
		stem = stem[:derivedStem]
	}
	return stem + ".k" + strconv.Itoa(n) + "." + strings.ToUpper(base32.StdEncoding.EncodeToString(sum[:])[:8])
}
