// Package seal keeps personal data unreadable where it rests: task payloads in Redis, inputs and answers in records,
// manifest parts. It wraps Tink: authenticated encryption bound to the place where the text belongs, and keyed
// fingerprints that tell whether two inputs are equal without showing either.
//
// Invariants: a sealed text opens only under the kind, id and purpose that it was sealed for; a change of any byte of
// it is noticed; a text names the key that opens it, so that a worker without this key can say which one it lacks; no
// error, print or log of this package shows key material or plain text.
//
// The package must not know what it seals, where the text is stored, or where the keyset comes from.
package seal

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The purposes of sealed texts. A text sealed for one does not open for another.
const (
	PurposeInput    = "input"    // a payload's and a record's input
	PurposeAnswer   = "answer"   // the vendor's answer in a record
	PurposeManifest = "manifest" // a part of a batch's manifest
)

var (
	// ErrKeyMissing says that the text is whole as far as can be told, but this keyset lacks the key that opens it:
	// the key's id is not in the keyset, or the keyset is Insecure and has no key at all. Another worker, or this one
	// with the right keyset, can open the text.
	ErrKeyMissing = errors.New("key missing")

	// ErrBroken says that no keyset will open the text for this binding: it was changed, cut, moved from another job
	// or purpose, was never a sealed text, or was written without sealing and is read with sealing on.
	ErrBroken = errors.New("sealed text is broken")
)

// Binding says where a sealed text belongs. It is authenticated, not stored. All three fields are needed.
type Binding struct {
	Kind    string // the job's kind
	ID      string // the verification_id; for a manifest part, the part's name
	Purpose string // one of the Purpose constants
}

const (
	// scheme is the form's version; a change of the form needs another one.
	scheme = "kq1"
	// insecureKey stands in the place of the key id of a text that is not encrypted.
	insecureKey = "insecure"

	// associatedDataTag keeps sealed texts apart from other uses of the same Tink keyset, fingerprintTag likewise.
	associatedDataTag = "kycq sealed v1"
	fingerprintTag    = "kycq fingerprint v1"
)

// encoding is strict: it refuses set trailing bits. Line breaks, which every base64 decoder of the standard library
// skips, are refused by parseText.
var encoding = base64.RawURLEncoding.Strict()

// Seal encrypts plain for the place b with the primary key. The text is of the form "kq1.<key id>.<base64url>": ASCII,
// safe in JSON, a third longer than plain plus about 60 bytes. Sealing the same text twice gives different texts.
func (k *Keyset) Seal(plain []byte, b Binding) (string, error) {
	m, err := k.loaded()
	if err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	ad, err := b.associatedData()
	if err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	if m.insecure {
		return formatText(insecureKey, plain), nil
	}
	data, err := m.aead.Encrypt(plain, ad)
	if err != nil {
		return "", fmt.Errorf("seal with key %d: %w", m.primary, err)
	}
	return formatText(formatID(m.primary), data), nil
}

// Open is the reverse of Seal. Its error is ErrKeyMissing or ErrBroken (errors.Is); it never holds part of the text.
//
// A keyset that seals refuses texts that were written without sealing (ErrBroken): whoever can write to Redis or S3
// could otherwise slip in inputs of their own. An Insecure keyset finds sealed texts to be ErrKeyMissing.
func (k *Keyset) Open(sealed string, b Binding) ([]byte, error) {
	m, err := k.loaded()
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	ad, err := b.associatedData()
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	key, data, ok := parseText(sealed)
	if !ok {
		return nil, fmt.Errorf("open: not a sealed text of form %s: %w", scheme, ErrBroken)
	}
	switch {
	case key == insecureKey && m.insecure:
		return data, nil
	case key == insecureKey:
		return nil, fmt.Errorf("open: the text was written without sealing: %w", ErrBroken)
	case m.insecure:
		return nil, fmt.Errorf("open: the text is sealed with key %s and there is no keyset: %w", key, ErrKeyMissing)
	}
	return m.decrypt(key, data, ad)
}

func (m *material) decrypt(key string, data, ad []byte) ([]byte, error) {
	id, err := parseID(key)
	if err != nil {
		return nil, fmt.Errorf("open: unreadable key id: %w", ErrBroken)
	}
	if !m.has(id) {
		return nil, fmt.Errorf("open: key %d is not in the keyset: %w", id, ErrKeyMissing)
	}
	if !madeByKey(data, id) {
		return nil, fmt.Errorf("open: the text does not belong to key %d that it names: %w", id, ErrBroken)
	}
	plain, err := m.aead.Decrypt(data, ad)
	if err != nil {
		// Tink's reason is always the same fixed text: authentication fails without telling why.
		return nil, fmt.Errorf("open with key %d: changed, or sealed for another place: %w", id, ErrBroken)
	}
	return plain, nil
}

// madeByKey compares the key id in the text with the one that Tink puts before each ciphertext (a byte 0x01 and the id,
// big endian). Without this a text that names the wrong one of two known keys would open all the same.
func madeByKey(data []byte, id uint32) bool {
	return len(data) > 5 && data[0] == 1 && binary.BigEndian.Uint32(data[1:5]) == id
}

// KeyID tells which key opens a sealed text, without needing that key. It is false for a text that is not of the form,
// and for one that was written without sealing.
func KeyID(sealed string) (id uint32, ok bool) {
	key, _, ok := parseText(sealed)
	if !ok || key == insecureKey {
		return 0, false
	}
	id, err := parseID(key)
	return id, err == nil
}

func (b Binding) associatedData() ([]byte, error) {
	if b.Kind == "" || b.ID == "" || b.Purpose == "" {
		return nil, errors.New("the binding needs a kind, an id and a purpose")
	}
	return join(associatedDataTag, b.Kind, b.ID, b.Purpose), nil
}

// join renders fields so that no two lists of fields give the same bytes: each goes behind its length.
func join(fields ...string) []byte {
	var out []byte
	for _, f := range fields {
		out = binary.BigEndian.AppendUint64(out, uint64(len(f)))
		out = append(out, f...)
	}
	return out
}

func formatText(key string, data []byte) string {
	return scheme + "." + key + "." + encoding.EncodeToString(data)
}

// parseText takes a sealed text apart. It accepts exactly what formatText writes: a second spelling of the same text
// (a key id with a leading zero, a line break in the base64) would be a change that nobody notices.
func parseText(sealed string) (key string, data []byte, ok bool) {
	form, rest, _ := strings.Cut(sealed, ".")
	key, text, found := strings.Cut(rest, ".")
	if form != scheme || !found {
		return "", nil, false
	}
	if id, err := parseID(key); key != insecureKey && (err != nil || formatID(id) != key) {
		return "", nil, false
	}
	if strings.ContainsAny(text, "\r\n") {
		return "", nil, false
	}
	data, err := encoding.DecodeString(text)
	if err != nil {
		return "", nil, false
	}
	return key, data, true
}

func formatID(id uint32) string { return strconv.FormatUint(uint64(id), 10) }

func parseID(s string) (uint32, error) {
	id, err := strconv.ParseUint(s, 10, 32)
	return uint32(id), err
}
