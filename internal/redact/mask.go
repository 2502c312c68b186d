package redact

import (
	"strings"
	"unicode/utf8"
)

// MaskName masks a name for records: "John Doe" becomes "J*** D**". Each word keeps its first letter and its length; a
// word of one letter becomes "*".
func MaskName(name string) string {
	words := strings.Fields(name)
	for i, w := range words {
		first, size := utf8.DecodeRuneInString(w)
		rest := utf8.RuneCountInString(w[size:])
		if rest == 0 {
			words[i] = "*"
			continue
		}
		words[i] = string(first) + strings.Repeat("*", rest)
	}
	return strings.Join(words, " ")
}

// MaskFileNumber masks a passport file number for records: its last four characters stay, but none of a number shorter
// than eight.
func MaskFileNumber(number string) string {
	runes := []rune(number)
	hidden := len(runes)
	if hidden >= 8 {
		hidden -= 4
	}
	return strings.Repeat("*", hidden) + string(runes[hidden:])
}
