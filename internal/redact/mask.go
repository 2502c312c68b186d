package redact

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is how many characters of a name a record shows the form of. No input is longer.
const maxName = 100

// MaskName masks a name for records: "John Doe" becomes "J*** D**". Each word keeps its first letter and its length; a
// word of one letter, and what is no letter, becomes "*".
func MaskName(name string) string {
	if runes := []rune(name); len(runes) > maxName {
		name = string(runes[:maxName])
	}
	words := strings.Fields(name)
	for i, w := range words {
		first, size := utf8.DecodeRuneInString(w)
		rest := utf8.RuneCountInString(w[size:])
		if rest == 0 || !unicode.IsLetter(first) {
			words[i] = strings.Repeat("*", rest+1)
			continue
		}
		words[i] = string(first) + strings.Repeat("*", rest)
	}
	return strings.Join(words, " ")
}

// fileNumber matches letters and digits with a digit among them, which a name has not.
var fileNumber = regexp.MustCompile(`^[A-Za-z0-9]*[0-9][A-Za-z0-9]*$`)

// MaskFileNumber masks a passport file number for records: its last four characters stay, but none of a number shorter
// than eight, or of a text that is no file number.
func MaskFileNumber(number string) string {
	const least, most = 8, 20
	if n := len(number); n >= least && n <= most && fileNumber.MatchString(number) {
		return strings.Repeat("*", n-4) + number[n-4:]
	}
	return strings.Repeat("*", min(utf8.RuneCountInString(number), most))
}
