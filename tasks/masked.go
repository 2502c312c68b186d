package tasks

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaskName is the view of a name that records show: "John Doe" becomes "J*** D**". A word keeps its first letter and its
// length; words of one letter become "*".
func MaskName(name string) string {
	words := strings.FieldsFunc(name, unicode.IsSpace)
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

// MaskFileNumber is the view of a passport file number that records show: its last four characters. One of fewer than
// eight shows nothing, because four of it would be half of it.
func MaskFileNumber(number string) string {
	runes := []rune(number)
	if len(runes) < 8 {
		return strings.Repeat("*", len(runes))
	}
	keep := len(runes) - 4
	return strings.Repeat("*", keep) + string(runes[keep:])
}
