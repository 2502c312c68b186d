// Package forms holds the text forms that several packages share.
package forms

import (
	"regexp"
	"time"
	"unicode"
)

// Time is RFC 3339 in UTC with milliseconds. Its width is fixed, so texts sort as the times do.
const Time = "2006-01-02T15:04:05.000Z"

// FormatTime formats t as Time.
func FormatTime(t time.Time) string { return t.UTC().Format(Time) }

// BucketRule describes the names that IsBucket accepts.
const BucketRule = "3 to 63 of a-z, 0-9, dot and hyphen, starting and ending with a letter or digit"

var bucket = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// IsBucket reports whether name follows the rules for S3 bucket names that all servers share.
func IsBucket(name string) bool { return bucket.MatchString(name) }

// IsInvisible reports whether people cannot see r: a zero-width or direction mark, a byte order mark, a line separator, a
// variation selector or a filler.
func IsInvisible(r rune) bool {
	return r >= 0x80 && unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
