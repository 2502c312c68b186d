// Package vendorid derives the verification ids under which Cashfree sees further attempts of a job. Cashfree takes each
// id for one verification only.
package vendorid

import (
	"crypto/sha256"
	"encoding/base32"
	"regexp"
	"strconv"
	"strings"
)

// Max is the highest n of Derive. With three digits the longest id has the 50 characters that Cashfree takes.
const Max = 999

// stemLength is how much of the job's id a derived one keeps: 36 + ".k999." + 8 = 50.
const stemLength = 36

var derived = regexp.MustCompile(`(?i)\.k[0-9]{1,3}\.[a-z2-7]{8}$`)

// Derive returns vendor id number n (1 to Max) of a job. It depends on its arguments only, so all workers derive the same
// one.
func Derive(kind, id string, n int) string {
	number := strconv.Itoa(n)
	sum := sha256.Sum256([]byte(kind + "\x00" + id + "\x00" + number))
	return id[:min(len(id), stemLength)] + ".k" + number + "." + strings.ToUpper(base32.StdEncoding.EncodeToString(sum[:])[:8])
}

// IsDerived reports whether id has the form of a derived one. Jobs may not use such ids.
func IsDerived(id string) bool { return derived.MatchString(id) }
