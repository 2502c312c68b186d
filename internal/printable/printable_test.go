package printable_test

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"
	"testing/iotest"

	"github.com/kycq/kycq/internal/printable"
)

var texts = map[string]string{
	"":                          "",
	"plain, tab\t, line\nend\n": "plain, tab\t, line\nend\n",
	"श्री राम, ന\u200dമ, 李":       "श्री राम, ന\u200dമ, 李",
	"\x1b[2J\x1b]0;owned\x07":     `\u001b[2J\u001b]0;owned\u0007`,
	"a\rb\bc\x7f":                 `a\u000db\u0008c\u007f`,
	"C1 \u009b31m \u0085":         `C1 \u009b31m \u0085`,
	"bidi \u202e \u2066 \u200f":   `bidi \u202e \u2066 \u200f`,
	"hidden \u200b \ufeff \u00ad": `hidden \u200b \ufeff \u00ad`,
	"tag \U000e0041":              `tag \udb40\udc41`,
	"8 bit \x9b31m":               `8 bit \ufffd31m`,
}

func TestNoTextControlsATerminal(t *testing.T) {
	t.Parallel()
	for in, want := range texts {
		if got := printable.Text(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
		for name, read := range map[string]func(io.Reader) io.Reader{"whole": iotest.DataErrReader, "byte by byte": iotest.OneByteReader} {
			var out bytes.Buffer
			if _, err := io.Copy(struct{ io.Writer }{printable.Writer(&out)}, struct{ io.Reader }{read(bytes.NewBufferString(in))}); err != nil || out.String() != want {
				t.Errorf("%q, written %s: got %q, want %q (%v)", in, name, out.String(), want, err)
			}
		}
	}
}

func TestJSONKeepsItsMeaning(t *testing.T) {
	t.Parallel()
	for in := range texts {
		text, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var want, got string
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(printable.Text(string(text))), &got); err != nil || got != want {
			t.Errorf("%q: got %q (%v)", in, got, err)
		}
	}
}
