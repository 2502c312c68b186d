package seal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead/aesgcm"
	"github.com/tink-crypto/tink-go/v2/aead/xchacha20poly1305"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf/hmacprf"
)

// documentVersion is the version of the keyset document.
const documentVersion = 1

// document is the JSON of a keyset: two Tink keysets in one secret. Tink's own tools can read the parts.
type document struct {
	Version     int             `json:"version"`
	Seal        json.RawMessage `json:"seal"`
	Fingerprint json.RawMessage `json:"fingerprint"`
}

// Parse parses the document that Marshal writes. Its errors say what to do and never quote the document, which may be
// another secret by mistake.
func Parse(doc []byte) (*Keyset, error) {
	d, err := decodeDocument(doc)
	if err != nil {
		return nil, fmt.Errorf("parse keyset: %w", err)
	}
	seals, err := readHandle(d.Seal)
	if err != nil {
		return nil, fmt.Errorf(`parse keyset: "seal" %w`, err)
	}
	prints, err := readHandle(d.Fingerprint)
	if err != nil {
		return nil, fmt.Errorf(`parse keyset: "fingerprint" %w`, err)
	}
	k, err := newKeyset(seals, prints)
	if err != nil {
		return nil, fmt.Errorf("parse keyset: %w", err)
	}
	return k, nil
}

// Marshal returns the keyset with its keys as one line of JSON: a secret, for a file of mode 0600 or a secret store.
func (k *Keyset) Marshal() ([]byte, error) {
	m, err := k.withKeys()
	if err != nil {
		return nil, fmt.Errorf("marshal keyset: %w", err)
	}
	d := document{Version: documentVersion}
	if d.Seal, err = writeHandle(m.seals); err != nil {
		return nil, fmt.Errorf("marshal keyset: %w", err)
	}
	if d.Fingerprint, err = writeHandle(m.prints); err != nil {
		return nil, fmt.Errorf("marshal keyset: %w", err)
	}
	// Marshalling compacts the raw parts, which removes protojson's unstable spaces.
	doc, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("marshal keyset: %w", err)
	}
	return doc, nil
}

func decodeDocument(doc []byte) (document, error) {
	trimmed := bytes.TrimSpace(bytes.TrimPrefix(doc, []byte("\ufeff"))) // Windows editors write a byte order mark
	if len(trimmed) == 0 {
		return document{}, errors.New("it is empty: create one with `kycq keys generate`")
	}
	if trimmed[0] != '{' {
		return document{}, errors.New("it is not JSON: KYCQ_KEYSET takes the text that `kycq keys generate` prints, KYCQ_KEYSET_FILE the path of a file that holds it")
	}
	var d document
	dec := json.NewDecoder(bytes.NewReader(trimmed))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return document{}, explainJSON(err, trimmed)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return document{}, errors.New("there is text after the JSON object: give one keyset document and nothing else")
	}
	switch {
	case d.Version != documentVersion:
		return document{}, fmt.Errorf("its version is %d and this kycq reads version %d: use the kycq that wrote it, or a newer one", d.Version, documentVersion)
	case len(d.Seal) == 0 || len(d.Fingerprint) == 0:
		return document{}, errors.New(`it lacks "seal" or "fingerprint": use the whole text that ` + "`kycq keys generate` printed")
	}
	return d, nil
}

// explainJSON replaces the decoder's error, which can quote the document.
func explainJSON(err error, doc []byte) error {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("the JSON breaks at byte %d: use the whole text that `kycq keys generate` printed", syntax.Offset)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the JSON is cut short: use the whole text that `kycq keys generate` printed")
	case bytes.Contains(doc, []byte(`"primaryKeyId"`)) && !bytes.Contains(doc, []byte(`"seal"`)):
		return errors.New(`it is a bare Tink keyset: kycq wants {"version":1,"seal":<AEAD keyset>,"fingerprint":<PRF keyset>}, as ` + "`kycq keys generate` prints")
	}
	return errors.New(`it has fields that are not "version", "seal" and "fingerprint": use the text that ` + "`kycq keys generate` printed, unchanged")
}

// readHandle reads an unencrypted Tink keyset (in Tink's words "insecure"): the document itself is the secret, like a TLS
// key, and comes from the operator's secret store. Tink's errors are replaced, since they can quote the JSON.
func readHandle(part json.RawMessage) (*keyset.Handle, error) {
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(part)))
	if err != nil {
		return nil, errors.New("is not a Tink keyset in JSON with keys that Tink can use: restore the file from your secret store, or create a new one with `kycq keys generate` (texts sealed with the old one are then lost)")
	}
	return h, nil
}

// writeHandle is the reverse of readHandle.
func writeHandle(h *keyset.Handle) (json.RawMessage, error) {
	var out bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&out)); err != nil {
		return nil, fmt.Errorf("write Tink keyset: %w", err)
	}
	return out.Bytes(), nil
}

// checkSeals accepts only 256-bit AEAD keys whose texts contain the key's id. Tink also accepts 128-bit keys, keys without
// an id, and keys for other uses.
func checkSeals(h *keyset.Handle) ([]KeyInfo, error) {
	var keys []KeyInfo
	for i := range h.Len() {
		entry, err := h.Entry(i)
		if err != nil {
			return nil, fmt.Errorf("read seal key %d of the keyset: %w", i, err)
		}
		id := entry.KeyID()
		typ, err := aeadType(entry)
		switch {
		case err != nil:
			return nil, fmt.Errorf("seal key %d %w", id, err)
		case entry.KeyStatus() != keyset.Enabled:
			return nil, fmt.Errorf("seal key %d is %s: enable it, or remove it from the keyset", id, strings.ToLower(entry.KeyStatus().String()))
		}
		keys = append(keys, KeyInfo{ID: id, Primary: entry.IsPrimary(), Type: typ})
	}
	return keys, nil
}

func aeadType(entry *keyset.Entry) (string, error) {
	switch key := entry.Key().(type) {
	case *aesgcm.Key:
		p, ok := key.Parameters().(*aesgcm.Parameters)
		if !ok || p.KeySizeInBytes() != 32 {
			return "", errors.New("is shorter than 256 bits: use AES256_GCM or XCHACHA20_POLY1305")
		}
		if p.Variant() != aesgcm.VariantTink {
			return "", errors.New("does not mark its texts with its id: create it with output prefix TINK")
		}
		return "AES256-GCM", nil
	case *xchacha20poly1305.Key:
		p, ok := key.Parameters().(*xchacha20poly1305.Parameters)
		if !ok || p.Variant() != xchacha20poly1305.VariantTink {
			return "", errors.New("does not mark its texts with its id: create it with output prefix TINK")
		}
		return "XChaCha20-Poly1305", nil
	}
	return "", errors.New("is not for sealing: use AES256_GCM or XCHACHA20_POLY1305")
}

// checkPrints accepts exactly one strong HMAC key. With two, equal inputs could have different fingerprints.
func checkPrints(h *keyset.Handle) error {
	if h.Len() != 1 {
		return fmt.Errorf("the fingerprint keyset holds %d keys: it must hold exactly one, the first", h.Len())
	}
	entry, err := h.Primary()
	if err != nil {
		return fmt.Errorf("read fingerprint key: %w", err)
	}
	key, ok := entry.Key().(*hmacprf.Key)
	if !ok {
		return errors.New("the fingerprint key is not for fingerprints: use HMAC_SHA256_PRF")
	}
	p, ok := key.Parameters().(*hmacprf.Parameters)
	if !ok || p.HashType() != hmacprf.SHA256 && p.HashType() != hmacprf.SHA512 || p.KeySizeInBytes() < 32 {
		return errors.New("the fingerprint key is weak: use HMAC_SHA256_PRF with 256 bits")
	}
	return nil
}
