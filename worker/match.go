package worker

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/kycq/kycq/storage"
)

// match compares a value of the vendor's answer with that of the input. forms returns the forms of a value that count as the
// same; none if it is missing or cannot be read.
func match(vendors, input string, forms func(string) []string) storage.Match {
	a, b := forms(vendors), forms(input)
	switch {
	case len(a) == 0 || len(b) == 0:
		return storage.NotTold
	case slices.ContainsFunc(a, func(form string) bool { return slices.Contains(b, form) }):
		return storage.MatchYes
	}
	return storage.MatchNo
}

// dateLayouts are YYYY-MM-DD, which the vendor documents, and those of other KYC answers. The day comes before the month, or the
// year comes first.
var dateLayouts = []string{
	time.DateOnly, "2006/1/2", "2006.1.2", "20060102", "2/1/2006", "2-1-2006", "2.1.2006", "2-Jan-2006", "2/Jan/2006", "2 Jan 2006",
	"2 January 2006", "2-January-2006", "2 Jan, 2006",
}

// dateForms returns a date as YYYY-MM-DD. It ignores a time of day.
func dateForms(s string) []string {
	s = strings.Join(strings.Fields(s), " ")
	if at := strings.IndexByte(s, 'T'); at == len(time.DateOnly) {
		s = s[:at]
	}
	day, _, _ := strings.Cut(s, " ")
	for _, text := range []string{s, day} {
		for _, layout := range dateLayouts {
			if at, err := time.Parse(layout, text); err == nil {
				return []string{at.Format(time.DateOnly)}
			}
		}
	}
	return nil
}

// numberForms returns the letters and digits, in upper case.
func numberForms(s string) []string {
	if words := strings.FieldsFunc(strings.ToUpper(s), notInWord); len(words) > 0 {
		return []string{strings.Join(words, "")}
	}
	return nil
}

func notInWord(r rune) bool { return !unicode.In(r, unicode.Letter, unicode.Mark, unicode.Digit) }

// titles may come before a name.
var titles = []string{
	"mr", "mrs", "ms", "miss", "mx", "dr", "prof", "shri", "sri", "shree", "smt", "shrimati", "kumari", "km", "kum", "master",
}

// nameForms returns a name in lower case, without spaces and punctuation: with its titles, and without the first, the first
// two and so on, since a title can also be a part of a name (Sri Devi, Sridevi).
func nameForms(s string) []string {
	words := strings.FieldsFunc(strings.ToLower(s), notInWord)
	var forms []string
	for len(words) > 0 {
		forms = append(forms, strings.Join(words, ""))
		if !slices.Contains(titles, words[0]) {
			break
		}
		words = words[1:]
	}
	return forms
}
