package digits

import (
	"fmt"
	"testing"

	"github.com/kycq/kycq/internal/dev/specimen"
)

func TestVerhoeffByKnownVectors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{"2363": true, "758722": true, "123451": true, "1428570": true, "84736430954837284567892": true, "2364": false, "2633": false} {
		digits := []byte(text)
		for i := range digits {
			digits[i] -= '0'
		}
		if checked(digits) != want {
			t.Errorf("%s: want %v", text, want)
		}
	}
}

func TestANumberIsTwelveCheckedDigitsInAnySpacing(t *testing.T) {
	t.Parallel()
	n := specimen.NewPerson(7).Number
	wrong := n[:11] + fmt.Sprint((n[11]-'0'+1)%10)
	for text, want := range map[string]bool{
		n: true,
		"Number: " + n[:4] + " " + n[4:8] + " " + n[8:] + ".": true,
		n[:1] + "  " + n[1:11] + "\t" + n[11:]:                true,
		n[:4] + "\u00a0" + n[4:8] + "\u2009" + n[8:]:          true,
		n[:4] + " " + n[4:8] + "\n\n" + n[8:] + "\f":          true, // broken into lines
		"born 1990\n" + n + "\n2024":                          true, // numbers of other lines are not part of it
		"1990 " + n:                                           false,
		n + "2024":                                            false, // a virtual id has 16 digits
		wrong:                                                 false,
		n[:8] + "X" + n[8:]:                                   false,
		n[:11]:                                                false,
		"XXXX XXXX " + n[8:]:                                  false,
		"":                                                    false,
	} {
		if hasNumber(text) != want {
			t.Errorf("%q: want %v", text, want)
		}
	}
}
