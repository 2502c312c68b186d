package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"
	"github.com/tink-crypto/tink-go/v2/prf"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"

	"github.com/kycq/kycq/internal/seal"
)

func reparse(t testing.TB, k *seal.Keyset) *seal.Keyset {
	t.Helper()
	doc, err := k.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := seal.Parse(doc)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func mustDecode(t *testing.T, s string) []byte {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// tinkJSON makes a Tink keyset of one key for each template; the last is the primary.
func tinkJSON(t testing.TB, templates ...*tinkpb.KeyTemplate) string {
	t.Helper()
	manager := keyset.NewManager()
	for _, template := range templates {
		id, err := manager.Add(template)
		if err != nil {
			t.Fatal(err)
		}
		if err := manager.SetPrimary(id); err != nil {
			t.Fatal(err)
		}
	}
	h, err := manager.Handle()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&out)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func document(sealPart, printPart string) string {
	return `{"version":1,"seal":` + sealPart + `,"fingerprint":` + printPart + `}`
}

func TestMarshalAndParseAreEachOthersReverse(t *testing.T) {
	t.Parallel()
	k := rotate(t, generate(t))
	doc, err := k.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.ContainsAny(doc, "\n ") {
		t.Error("the document is not one compact line")
	}
	again := reparse(t, k)
	if got, err := again.Open(sealed(t, k, "plain", place), place); err != nil || string(got) != "plain" {
		t.Fatalf("after reading back: %q, %v", got, err)
	}
	if again.String() != k.String() {
		t.Errorf("read back %v, wrote %v", again, k)
	}
	doc2, err := again.Marshal()
	if err != nil || !bytes.Equal(doc, doc2) {
		t.Errorf("two writings of one keyset differ (%v)", err)
	}
	spaced := " \n" + strings.ReplaceAll(string(doc), ",", " ,\n\t") + "\n"
	if _, err := seal.Parse([]byte(spaced)); err != nil {
		t.Errorf("indented document: %v", err)
	}
}

func TestAKeysetMadeWithTinksOwnToolIsAccepted(t *testing.T) {
	t.Parallel()
	doc := document(tinkJSON(t, aead.AES256GCMKeyTemplate(), aead.XChaCha20Poly1305KeyTemplate()), tinkJSON(t, prf.HMACSHA512PRFKeyTemplate()))
	k, err := seal.Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	info := k.Info()
	if len(info) != 2 || info[0].Type != "AES256-GCM" || info[1].Type != "XChaCha20-Poly1305" || !info[1].Primary || info[0].Primary {
		t.Errorf("Info = %+v", info)
	}
	if got, err := k.Open(sealed(t, k, "plain", place), place); err != nil || string(got) != "plain" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestParseRefusesAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	good, err := generate(t).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	gcm, hmac := tinkJSON(t, aead.AES256GCMKeyTemplate()), tinkJSON(t, prf.HMACSHA256PRFKeyTemplate())
	if _, err := seal.Parse([]byte(document(gcm, hmac))); err != nil {
		t.Fatalf("the parts of this table are not good: %v", err)
	}
	for name, tc := range map[string]struct{ doc, want string }{
		"empty":                     {"", "kycq keys generate"},
		"blank":                     {" \n", "kycq keys generate"},
		"a path":                    {"/etc/kycq/keyset.json", "KYCQ_KEYSET_FILE"},
		"cut":                       {string(good[:len(good)/2]), "cut short"},
		"broken":                    {strings.Replace(string(good), ":", ";", 1), "breaks at byte"},
		"two documents":             {string(good) + string(good), "text after"},
		"other version":             {strings.Replace(string(good), `"version":1`, `"version":2`, 1), "version is 2"},
		"no version":                {strings.Replace(string(good), `"version":1,`, ``, 1), "version is 0"},
		"unknown field":             {strings.Replace(string(good), `"version":1`, `"version":1,"more":2`, 1), "unchanged"},
		"bare Tink keyset":          {gcm, "bare Tink keyset"},
		"no seal":                   {`{"version":1,"fingerprint":` + hmac + `}`, `lacks "seal"`},
		"no fingerprint":            {`{"version":1,"seal":` + gcm + `}`, "fingerprint"},
		"seal is null":              {document("null", hmac), `"seal" is not a Tink keyset`},
		"seal has no keys":          {document(`{"primaryKeyId":1,"key":[]}`, hmac), `"seal" is not a Tink keyset`},
		"unknown field in the part": {document(strings.Replace(gcm, "{", `{"x":1,`, 1), hmac), `"seal" is not a Tink keyset`},
		"128-bit AEAD":              {document(tinkJSON(t, aead.AES128GCMKeyTemplate()), hmac), "256 bits"},
		"128-bit old key":           {document(tinkJSON(t, aead.AES128GCMKeyTemplate(), aead.AES256GCMKeyTemplate()), hmac), "256 bits"},
		"AEAD without prefix":       {document(tinkJSON(t, aead.AES256GCMNoPrefixKeyTemplate()), hmac), "output prefix TINK"},
		"other AEAD":                {document(tinkJSON(t, aead.AES256CTRHMACSHA256KeyTemplate()), hmac), "AES256_GCM"},
		"a MAC as seal":             {document(tinkJSON(t, mac.HMACSHA256Tag256KeyTemplate()), hmac), "not for sealing"},
		"parts swapped":             {document(hmac, gcm), "not for sealing"},
		"two fingerprint keys":      {document(gcm, tinkJSON(t, prf.HMACSHA256PRFKeyTemplate(), prf.HMACSHA256PRFKeyTemplate())), "holds 2 keys"},
		"CMAC as fingerprint":       {document(gcm, tinkJSON(t, prf.AESCMACPRFKeyTemplate())), "HMAC_SHA256_PRF"},
		"AEAD as fingerprint":       {document(gcm, gcm), "not for fingerprints"},
		"disabled key":              {document(disabled(t), hmac), "is disabled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := seal.Parse([]byte(tc.doc))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("err = %v, want one about %q", err, tc.want)
			}
		})
	}
}

// disabled makes a keyset whose older key is disabled.
func disabled(t *testing.T) string {
	t.Helper()
	two := tinkJSON(t, aead.AES256GCMKeyTemplate(), aead.AES256GCMKeyTemplate())
	if !strings.Contains(two, "ENABLED") {
		t.Fatal("Tink spells the status in another way")
	}
	return strings.Replace(two, "ENABLED", "DISABLED", 1)
}

func TestParseErrorsNeverQuoteTheDocument(t *testing.T) {
	t.Parallel()
	good, err := generate(t).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	const canary = "CANARYc2VjcmV0"
	docs := []string{canary, `{"` + canary + `":1}`, `{"version":"` + canary + `"}`, document(`"`+canary+`"`, `{}`), document(`{"`+canary+`":1}`, `{}`)}
	for i := 0; i < len(good); i += 7 { // the canary in the middle of every part of the document
		docs = append(docs, string(good[:i])+canary+string(good[i:]), string(good[:i])+`"`+canary+`"`+string(good[i:]))
	}
	for _, doc := range docs {
		if _, err := seal.Parse([]byte(doc)); err != nil && strings.Contains(err.Error(), canary[:6]) {
			t.Errorf("error quotes the document: %v", err)
		}
	}
}

func FuzzParse(f *testing.F) {
	good, err := generate(f).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(document(`{"primaryKeyId":1,"key":[{}]}`, `{}`)))
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		k, err := seal.Parse(doc)
		if err != nil {
			return
		}
		// Whatever is accepted works and can be written and read again.
		text, err := k.Seal([]byte("plain"), place)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := reparse(t, k).Open(text, place); err != nil || string(got) != "plain" {
			t.Fatalf("%q, %v", got, err)
		}
		if !json.Valid(doc) {
			t.Fatal("accepted a document that is not JSON")
		}
	})
}
