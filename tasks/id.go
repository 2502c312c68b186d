package tasks

import (
	"fmt"
	"strings"

	"github.com/kycq/kycq/internal/vendorid"
)

// maxIDLength is the longest verification_id that Cashfree accepts (its passport page: "maximum character limit is 50").
const maxIDLength = 50

// ValidateID checks a verification_id: 1 to 50 of [A-Za-z0-9._-] with at least one letter or digit, since it becomes part
// of S3 keys and file names, and not of the form .k<number>.<8 characters> that kycq reserves. The error is an
// *InvalidError.
func ValidateID(id string) error {
	invalid := func(code, format string, args ...any) error {
		return &InvalidError{Field: "verification_id", Code: code, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case id == "":
		return invalid("verification_id_missing", "is missing")
	case len(id) > maxIDLength:
		return invalid("verification_id_length_exceeded", "has %d characters: at most %d are allowed", len(id), maxIDLength)
	case strings.ContainsFunc(id, func(c rune) bool { return !isAlphanumeric(c) && !strings.ContainsRune("._-", c) }):
		return invalid("verification_id_value_invalid", "may hold only letters, digits, dot, hyphen and underscore")
	case !strings.ContainsFunc(id, isAlphanumeric):
		return invalid("verification_id_value_invalid", "needs at least one letter or digit")
	case vendorid.IsDerived(id):
		return invalid("verification_id_reserved", "ends like an id that kycq derives itself (.k<number>.<8 characters>): choose another")
	}
	return nil
}

func isAlphanumeric(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
