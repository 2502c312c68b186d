package digits

import "unicode"

// hasNumber reports whether a text has an Aadhaar number: twelve digits with a valid check digit, in any spacing, that are not
// part of a longer number. They may be on one line or on several.
func hasNumber(text string) bool {
	return scan(text, func(r rune) bool { return unicode.IsSpace(r) && r != '\n' && r != '\f' }) || scan(text, unicode.IsSpace)
}

// scan looks for the number among the runs of digits and spaces.
func scan(text string, space func(rune) bool) bool {
	var run []byte
	for _, r := range text + "." {
		switch {
		case '0' <= r && r <= '9':
			run = append(run, byte(r-'0'))
		case !space(r):
			if len(run) == 12 && checked(run) {
				return true
			}
			run = run[:0]
		}
	}
	return false
}

// checked reports whether the last digit is the check digit of the others by Verhoeff's method: the dihedral group D5, and a
// permutation for each place.
func checked(digits []byte) bool {
	permutation := [10]byte{1, 5, 7, 6, 2, 8, 3, 0, 9, 4}
	sum := byte(0)
	for i := range digits {
		d := digits[len(digits)-1-i]
		for range i % 8 {
			d = permutation[d]
		}
		sum = multiply(sum, d)
	}
	return sum == 0
}

// multiply is the operation of D5: 0 to 4 are rotations, 5 to 9 reflections.
func multiply(a, b byte) byte {
	switch {
	case a < 5 && b < 5:
		return (a + b) % 5
	case a < 5:
		return 5 + (a+b)%5
	case b < 5:
		return 5 + (a+5-b)%5
	}
	return (a + 5 - b) % 5
}
