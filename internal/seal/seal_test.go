package seal_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/quick"

	"github.com/kycq/kycq/internal/seal"
)

var place = seal.Binding{Kind: "passport", ID: "ABC00123", Purpose: seal.PurposeInput}

func generate(t testing.TB) *seal.Keyset {
	t.Helper()
	k, err := seal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sealed(t testing.TB, k *seal.Keyset, plain string, b seal.Binding) string {
	t.Helper()
	text, err := k.Seal([]byte(plain), b)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestWhatIsSealedOpensAtItsPlace(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]*seal.Keyset{"sealing": generate(t), "insecure": seal.Insecure()} {
		open := func(plain []byte, kind, id, purpose string) bool {
			b := seal.Binding{Kind: "k" + kind, ID: "i" + id, Purpose: "p" + purpose}
			text, err := k.Seal(plain, b)
			if err != nil {
				return false
			}
			got, err := k.Open(text, b)
			return err == nil && bytes.Equal(got, plain)
		}
		if err := quick.Check(open, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSealedTextShowsNothing(t *testing.T) {
	t.Parallel()
	const plain = "SPECIMEN JOHN DOE"
	text := sealed(t, generate(t), plain, place)
	for _, needle := range []string{plain, "SPECIMEN", base64.StdEncoding.EncodeToString([]byte(plain))[:20], place.ID} {
		if strings.Contains(text, needle) {
			t.Errorf("sealed text holds %q", needle)
		}
	}
	if again := sealed(t, generate(t), plain, place); again == text {
		t.Error("the same text was sealed twice to the same bytes")
	}
}

func TestSealedTextMovedToAnotherPlaceDoesNotOpen(t *testing.T) {
	t.Parallel()
	k := generate(t)
	text := sealed(t, k, "plain", seal.Binding{Kind: "ab", ID: "cd", Purpose: "ef"})
	for _, b := range []seal.Binding{
		{Kind: "aadhaar", ID: "cd", Purpose: "ef"},
		{Kind: "ab", ID: "CD", Purpose: "ef"},
		{Kind: "ab", ID: "cd", Purpose: seal.PurposeAnswer},
		{Kind: "a", ID: "bcd", Purpose: "ef"}, // the same letters, cut elsewhere
		{Kind: "ab", ID: "cde", Purpose: "f"},
		{Kind: "ab", ID: "ef", Purpose: "cd"},
	} {
		if _, err := k.Open(text, b); !errors.Is(err, seal.ErrBroken) {
			t.Errorf("opened at %+v: %v", b, err)
		}
	}
}

func TestMovedTextsNeverOpen(t *testing.T) {
	t.Parallel()
	k := generate(t)
	closed := func(a, b [3]string) bool {
		for i := range 3 {
			a[i], b[i] = "x"+a[i], "x"+b[i]
		}
		from := seal.Binding{Kind: a[0], ID: a[1], Purpose: a[2]}
		to := seal.Binding{Kind: b[0], ID: b[1], Purpose: b[2]}
		text, err := k.Seal([]byte("plain"), from)
		if err != nil {
			return false
		}
		_, err = k.Open(text, to)
		return from == to || errors.Is(err, seal.ErrBroken)
	}
	if err := quick.Check(closed, nil); err != nil {
		t.Error(err)
	}
}

func TestEveryChangedByteIsNoticed(t *testing.T) {
	t.Parallel()
	k := generate(t)
	rotated, err := k.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	text := sealed(t, rotated, "plain text of a job", place)
	for i := range len(text) {
		for _, c := range []byte{text[i] ^ 1, text[i] ^ 0x20, '.', '\n', 'A', '0', 0xff} {
			changed := text[:i] + string(rune(c)) + text[i+1:]
			if changed == text {
				continue
			}
			if _, err := rotated.Open(changed, place); !errors.Is(err, seal.ErrBroken) && !errors.Is(err, seal.ErrKeyMissing) {
				t.Fatalf("byte %d changed to %q: %v", i, c, err)
			}
		}
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, c := range alphabet { // some last letters differ in bits that carry nothing
		changed := text[:len(text)-1] + string(c)
		if _, err := rotated.Open(changed, place); changed != text && !errors.Is(err, seal.ErrBroken) {
			t.Fatalf("last byte changed to %q: %v", c, err)
		}
	}
	for i := range len(text) {
		for what, changed := range map[string]string{"cut": text[:i], "dropped": text[:i] + text[i+1:], "line break": text[:i] + "\n" + text[i:]} {
			if _, err := rotated.Open(changed, place); !errors.Is(err, seal.ErrBroken) && !errors.Is(err, seal.ErrKeyMissing) {
				t.Fatalf("%s at %d: %v", what, i, err)
			}
		}
	}
}

func TestATextHasOneSpelling(t *testing.T) {
	t.Parallel()
	k := generate(t)
	text := sealed(t, k, "plain", place)
	parts := strings.SplitN(text, ".", 3)
	for name, other := range map[string]string{
		"key id with a leading zero": parts[0] + ".0" + parts[1] + "." + parts[2],
		"key id with a sign":         parts[0] + ".+" + parts[1] + "." + parts[2],
		"padding":                    text + "=",
		"line break at the end":      text + "\n",
		"space before":               " " + text,
		"one more part":              text + ".",
		"other scheme":               "kq2." + parts[1] + "." + parts[2],
		"standard base64 alphabet":   parts[0] + "." + parts[1] + "." + "+/+/" + parts[2],
	} {
		if _, err := k.Open(other, place); !errors.Is(err, seal.ErrBroken) {
			t.Errorf("%s: %v", name, err)
		}
		if _, ok := seal.KeyID(other); ok {
			t.Errorf("%s: KeyID accepts it", name)
		}
	}
}

func TestATextThatNamesTheWrongKeyDoesNotOpen(t *testing.T) {
	t.Parallel()
	old := generate(t)
	k, err := old.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	var other seal.KeyInfo
	for _, key := range k.Info() {
		if !key.Primary {
			other = key
		}
	}
	parts := strings.SplitN(sealed(t, k, "plain", place), ".", 3)
	wrong := parts[0] + "." + itoa(other.ID) + "." + parts[2]
	if _, err := k.Open(wrong, place); !errors.Is(err, seal.ErrBroken) {
		t.Errorf("opened: %v", err)
	}
}

func TestAMissingKeyIsNamed(t *testing.T) {
	t.Parallel()
	k := generate(t)
	text := sealed(t, k, "plain", place)
	id, ok := seal.KeyID(text)
	if !ok || id != k.Info()[0].ID {
		t.Fatalf("KeyID = %d, %v; want %d", id, ok, k.Info()[0].ID)
	}
	_, err := generate(t).Open(text, place)
	if !errors.Is(err, seal.ErrKeyMissing) || errors.Is(err, seal.ErrBroken) {
		t.Fatalf("err = %v, want ErrKeyMissing", err)
	}
	if !strings.Contains(err.Error(), itoa(id)) {
		t.Errorf("%q does not name key %d", err, id)
	}
}

func TestInsecureAndSealedDoNotMix(t *testing.T) {
	t.Parallel()
	k, insecure := generate(t), seal.Insecure()
	clear := sealed(t, insecure, "plain", place)
	if !strings.HasPrefix(clear, "kq1.insecure.") {
		t.Errorf("text without sealing is not marked: %s", clear)
	}
	if _, ok := seal.KeyID(clear); ok {
		t.Error("text without sealing has a key id")
	}
	if _, err := k.Open(clear, place); !errors.Is(err, seal.ErrBroken) {
		t.Errorf("sealing keyset opened a text without sealing: %v", err)
	}
	if _, err := insecure.Open(sealed(t, k, "plain", place), place); !errors.Is(err, seal.ErrKeyMissing) {
		t.Errorf("insecure keyset on a sealed text: %v, want ErrKeyMissing", err)
	}
}

func TestAnIncompleteBindingIsRefused(t *testing.T) {
	t.Parallel()
	for _, k := range []*seal.Keyset{generate(t), seal.Insecure()} {
		text := sealed(t, k, "plain", place)
		for _, b := range []seal.Binding{{}, {ID: "a", Purpose: "b"}, {Kind: "a", Purpose: "b"}, {Kind: "a", ID: "b"}} {
			if _, err := k.Seal([]byte("plain"), b); err == nil {
				t.Errorf("sealed for %+v", b)
			}
			if _, err := k.Open(text, b); err == nil {
				t.Errorf("opened for %+v", b)
			}
		}
	}
}

func TestErrorsHoldNoPartOfTheText(t *testing.T) {
	t.Parallel()
	k := generate(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		word := make([]byte, 12)
		for i := range word {
			word[i] = 'a' + byte(rnd.IntN(26))
		}
		for _, text := range []string{string(word), "kq1." + string(word), "kq1.5." + string(word), "kq1." + string(word) + ".AAAA", "kq1.insecure." + string(word)} {
			_, err := k.Open(text, place)
			if err == nil {
				t.Fatalf("opened %q", text)
			}
			if strings.Contains(err.Error(), string(word)) {
				t.Fatalf("error quotes the text: %v", err)
			}
		}
	}
}

func FuzzOpen(f *testing.F) {
	k := generate(f)
	f.Add("kq1.insecure.AAAA")
	f.Add("kq1.0.")
	f.Add("kq1.4294967296.AQ")
	text := sealed(f, k, "plain", place)
	f.Add(text)
	f.Fuzz(func(t *testing.T, s string) {
		plain, err := k.Open(s, place)
		if s == text {
			if err != nil || string(plain) != "plain" {
				t.Fatalf("own text: %q, %v", plain, err)
			}
			return
		}
		if !errors.Is(err, seal.ErrBroken) && !errors.Is(err, seal.ErrKeyMissing) {
			t.Fatalf("foreign text: %v", err)
		}
	})
}
