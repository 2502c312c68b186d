package advice

import (
	"strings"
	"testing"
)

func TestEveryCodeHasAMessageAndANextAction(t *testing.T) {
	t.Parallel()
	for code, text := range texts {
		if (text.Message == "" || text.NextAction == "") && code != "" {
			t.Errorf("%s: %+v", code, text)
		}
		if strings.TrimSpace(text.Message) != text.Message || strings.HasSuffix(text.NextAction, ".") {
			t.Errorf("%s: %+v is not in the form of the others", code, text)
		}
	}
	if For("") != (Text{}) || Listed("") != "" {
		t.Error("success has a text")
	}
	if text := For("some_new_vendor_code"); text != texts[Unlisted] {
		t.Errorf("an unlisted code: %+v", text)
	}
}

func TestOnlyCodesOfTheTableAreKnown(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"", "j8369854", "specimen_person", "*", "x-client-*"} {
		if Known(code) || code != "" && Listed(code) != "other" {
			t.Errorf("%q is known", code)
		}
	}
	for _, code := range []string{"answer_lost", "insufficient_balance", "held", "paused", "internal_error"} {
		if !Known(code) || Listed(code) != code {
			t.Errorf("%q is not known", code)
		}
	}
}
