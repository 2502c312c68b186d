package specimen

// The dihedral group D5 and the permutation of Verhoeff's check digit, which Aadhaar numbers have.
var (
	dihedral = [10][10]byte{
		{0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
		{1, 2, 3, 4, 0, 6, 7, 8, 9, 5},
		{2, 3, 4, 0, 1, 7, 8, 9, 5, 6},
		{3, 4, 0, 1, 2, 8, 9, 5, 6, 7},
		{4, 0, 1, 2, 3, 9, 5, 6, 7, 8},
		{5, 9, 8, 7, 6, 0, 4, 3, 2, 1},
		{6, 5, 9, 8, 7, 1, 0, 4, 3, 2},
		{7, 6, 5, 9, 8, 2, 1, 0, 4, 3},
		{8, 7, 6, 5, 9, 3, 2, 1, 0, 4},
		{9, 8, 7, 6, 5, 4, 3, 2, 1, 0},
	}
	permutation = [10]byte{1, 5, 7, 6, 2, 8, 3, 0, 9, 4}
	inverse     = [10]byte{0, 4, 3, 2, 1, 5, 6, 7, 8, 9}
)

// checksum processes the digits from the right; position 0 is the check digit.
func checksum(digits string, place int) byte {
	sum := byte(0)
	for i := len(digits) - 1; i >= 0; i-- {
		d := digits[i] - '0'
		for range place % 8 {
			d = permutation[d]
		}
		sum = dihedral[sum][d]
		place++
	}
	return sum
}

// withCheckDigit appends the Verhoeff digit.
func withCheckDigit(digits string) string {
	return digits + string('0'+inverse[checksum(digits, 1)])
}

// validNumber reports whether the last digit is the Verhoeff digit of the others.
func validNumber(digits string) bool { return checksum(digits, 0) == 0 }
