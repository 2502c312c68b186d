package redact_test

import (
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/redact"
)

func TestMaskedViewsShowNoMoreThanPromised(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"John Doe": "J*** D**", "": "", "A": "*", "  Ann   B  ": "A** *", "श्री राम": "श*** र**", "A\xff\xfe": "A**",
		"\x1b]0;owned\x07 \u202eabc 1234": "********** **** ****", strings.Repeat("x", 1<<20): "x" + strings.Repeat("*", 99),
	} {
		if got := redact.MaskName(in); got != want {
			t.Errorf("name: got %q, want %q", got, want)
		}
	}
	for in, want := range map[string]string{
		"PA1079341954215": "***********4215", "1234567": "*******", "12345678": "****5678", "": "",
		"ZZ0000000000\x1b[2J": "****************", "Specimen": "********", "Person 1966-12-12": "*****************", strings.Repeat("1", 1<<20): strings.Repeat("*", 20),
	} {
		if got := redact.MaskFileNumber(in); got != want {
			t.Errorf("file number: got %q, want %q", got, want)
		}
	}
}
