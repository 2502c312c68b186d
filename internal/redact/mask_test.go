package redact_test

import (
	"testing"

	"github.com/kycq/kycq/internal/redact"
)

func TestMaskedViewsShowNoMoreThanPromised(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"John Doe": "J*** D**", "": "", "A": "*", "  Ann   B  ": "A** *", "श्री राम": "श*** र**", "A\xff\xfe": "A**",
	} {
		if got := redact.MaskName(in); got != want {
			t.Errorf("name: got %q, want %q", got, want)
		}
	}
	for in, want := range map[string]string{
		"PA1079341954215": "***********4215", "1234567": "*******", "12345678": "****5678", "": "",
	} {
		if got := redact.MaskFileNumber(in); got != want {
			t.Errorf("file number: got %q, want %q", got, want)
		}
	}
}
