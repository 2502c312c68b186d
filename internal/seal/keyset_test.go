package seal_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/quick"

	"github.com/kycq/kycq/internal/seal"
)

func itoa(id uint32) string { return strconv.FormatUint(uint64(id), 10) }

func rotate(t testing.TB, k *seal.Keyset) *seal.Keyset {
	t.Helper()
	next, err := k.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func primary(t testing.TB, k *seal.Keyset) uint32 {
	t.Helper()
	i := slices.IndexFunc(k.Info(), func(i seal.KeyInfo) bool { return i.Primary })
	if i < 0 {
		t.Fatal("no primary key")
	}
	return k.Info()[i].ID
}

func TestRotationKeepsOldTextsOpenAndSealsWithTheNewKey(t *testing.T) {
	t.Parallel()
	first := generate(t)
	old := sealed(t, first, "plain", place)
	k := first
	for n := 2; n <= 4; n++ {
		before := primary(t, k)
		k = rotate(t, k)
		if got := len(k.Info()); got != n {
			t.Fatalf("%d keys after rotation, want %d", got, n)
		}
		if primary(t, k) == before {
			t.Fatal("rotation kept the primary key")
		}
		if got, err := k.Open(old, place); err != nil || string(got) != "plain" {
			t.Fatalf("old text after rotation: %q, %v", got, err)
		}
		if id, _ := seal.KeyID(sealed(t, k, "plain", place)); id != primary(t, k) {
			t.Fatalf("sealed with key %d, want the primary %d", id, primary(t, k))
		}
	}
	if len(first.Info()) != 1 {
		t.Error("rotation changed the old keyset")
	}
	if _, err := first.Open(sealed(t, k, "plain", place), place); !errors.Is(err, seal.ErrKeyMissing) {
		t.Errorf("old keyset on a new text: %v, want ErrKeyMissing", err)
	}
}

func TestFingerprintStaysOverRotationAndStorage(t *testing.T) {
	t.Parallel()
	k := generate(t)
	want := k.Fingerprint("passport", "ABC", []byte("input"))
	if raw, err := hex.DecodeString(want); err != nil || len(raw) != 32 {
		t.Fatalf("fingerprint %q is not 32 bytes of hex", want)
	}
	next := rotate(t, k)
	if got := reparse(t, next).Fingerprint("passport", "ABC", []byte("input")); got != want {
		t.Errorf("fingerprint changed from %s to %s", want, got)
	}
	if got := generate(t).Fingerprint("passport", "ABC", []byte("input")); got == want {
		t.Error("another keyset gives the same fingerprint: it is not keyed")
	}
	if got := seal.Insecure().Fingerprint("passport", "ABC", []byte("input")); got == want || len(got) != 64 {
		t.Errorf("insecure fingerprint = %q", got)
	}
}

func TestFingerprintsDifferForDifferentInputs(t *testing.T) {
	t.Parallel()
	for _, k := range []*seal.Keyset{generate(t), seal.Insecure()} {
		differ := func(kind, id string, input []byte, n uint8) bool {
			name := kind + id
			cut := int(n) % (len(name) + 1)
			same := k.Fingerprint(kind, id, input) == k.Fingerprint(kind, id, slices.Clone(input))
			moved := name[:cut] != kind && k.Fingerprint(kind, id, input) == k.Fingerprint(name[:cut], name[cut:], input)
			longer := k.Fingerprint(kind, id, input) == k.Fingerprint(kind, id, append(slices.Clone(input), 0))
			return same && !moved && !longer
		}
		if err := quick.Check(differ, nil); err != nil {
			t.Error(err)
		}
	}
}

func TestInsecureHasNoKeysToKeep(t *testing.T) {
	t.Parallel()
	k := seal.Insecure()
	if k.Sealing() || len(k.Info()) != 0 {
		t.Errorf("Sealing = %v, Info = %v", k.Sealing(), k.Info())
	}
	if !generate(t).Sealing() {
		t.Error("a generated keyset does not seal")
	}
	_, rotateErr := k.Rotate()
	_, marshalErr := k.Marshal()
	if rotateErr == nil || marshalErr == nil {
		t.Errorf("rotate: %v, marshal: %v; want errors", rotateErr, marshalErr)
	}
}

func TestNoKeysetNeverMeansInTheClear(t *testing.T) {
	t.Parallel()
	for _, k := range []*seal.Keyset{nil, {}} {
		if _, err := k.Seal([]byte("plain"), place); err == nil {
			t.Error("sealed without a keyset")
		}
		if _, err := k.Open("kq1.insecure.AAAA", place); err == nil {
			t.Error("opened without a keyset")
		}
		if k.Sealing() || k.Info() != nil {
			t.Error("a keyset without keys claims to have some")
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("fingerprint without a keyset")
				}
			}()
			k.Fingerprint("passport", "ABC", nil)
		}()
	}
}

func TestAKeysetPrintsItsKeyIDsAndNothingElse(t *testing.T) {
	t.Parallel()
	k := rotate(t, generate(t))
	secrets := keyMaterial(t, k)
	type outer struct {
		Keys   *seal.Keyset
		Value  seal.Keyset
		hidden *seal.Keyset
		value  seal.Keyset
		any    any
	}
	o := outer{Keys: k, Value: *k, hidden: k, value: *k, any: *k}
	nested := map[string][]any{"a": {k, *k, &o, o, []*seal.Keyset{k}, map[string]any{"k": k}}}
	var shown []string
	for _, v := range []any{k, *k, o, &o, nested, fmt.Errorf("wrapped: %w", fmt.Errorf("%v", k))} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %[1]v"} {
			shown = append(shown, fmt.Sprintf(verb, v))
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var logged bytes.Buffer
		slog.New(slog.NewJSONHandler(&logged, nil)).Info("keys", "k", v)
		slog.New(slog.NewTextHandler(&logged, nil)).Info("keys", "k", v)
		shown = append(shown, string(text), logged.String())
	}
	for _, text := range shown {
		for _, secret := range secrets {
			if strings.Contains(text, secret) || strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
				t.Fatalf("shows key material: %.60s...", text)
			}
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb+" "+verb, k, *k); got != k.String()+" "+k.String() {
			t.Errorf("%s prints %q", verb, got)
		}
	}
	if text, err := json.Marshal([]any{k, *k}); err != nil || string(text) != `["`+k.String()+`","`+k.String()+`"]` {
		t.Errorf("marshals as %s, %v", text, err)
	}
	if got := k.String(); !strings.Contains(got, itoa(primary(t, k))+" primary") {
		t.Errorf("String = %q does not name the primary key", got)
	}
	if got := fmt.Sprint(seal.Insecure(), seal.Keyset{}); got != "keyset(insecure: no sealing) keyset(none)" {
		t.Errorf("printed %q", got)
	}
}

// keyMaterial gives the secret parts of a keyset in the spellings in which they could leak.
func keyMaterial(t *testing.T, k *seal.Keyset) []string {
	t.Helper()
	doc, err := k.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var parts map[string]any
	if err := json.Unmarshal(doc, &parts); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, part := range []string{"seal", "fingerprint"} {
		for _, key := range parts[part].(map[string]any)["key"].([]any) {
			value := key.(map[string]any)["keyData"].(map[string]any)["value"].(string)
			raw := mustDecode(t, value)
			raw = raw[len(raw)-16:] // the key is at the end of the protobuf message
			out = append(out, value[8:32], hex.EncodeToString(raw), fmt.Sprint(raw), string(raw))
		}
	}
	return out
}

func TestAKeysetServesManyGoroutines(t *testing.T) {
	t.Parallel()
	k := rotate(t, generate(t))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				text, err := k.Seal([]byte("plain"), place)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := k.Open(text, place); err != nil {
					t.Error(err)
				}
				_ = k.Fingerprint("passport", "ABC", []byte(text))
				_, _ = k.Info(), k.String()
			}
		})
	}
	wg.Wait()
}

func BenchmarkSealOpen(b *testing.B) {
	k := generate(b)
	plain := bytes.Repeat([]byte("x"), 300)
	for b.Loop() {
		text, err := k.Seal(plain, place)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := k.Open(text, place); err != nil {
			b.Fatal(err)
		}
	}
}
