// Package seal encrypts personal data at rest: task payloads in Redis, inputs and answers in records, parts of manifests.
// It wraps Tink: authenticated encryption with associated data, and keyed fingerprints that show whether two inputs are
// equal.
//
// A sealed text opens only with the kind, id and purpose that it was sealed with, and any change of it is detected. It
// names its key, so a worker without that key can say which one is missing. No error, print or log of this package
// contains key material or plain text.
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
	PurposePayload  = "payload"  // the fields of a task's payload: an empty text is sealed with them
)

var (
	// ErrKeyMissing means that the keyset lacks the key of the text, or is Insecure. A worker with another keyset may be
	// able to open the text.
	ErrKeyMissing = errors.New("key missing")

	// ErrBroken means that no keyset opens the text for this binding: it was changed, cut, or moved from another job or
	// purpose, is not a sealed text, or was written without sealing and is read with sealing on.
	ErrBroken = errors.New("sealed text is broken")
)

// Binding is the associated data of a sealed text: authenticated, not stored. The first three fields are required.
type Binding struct {
	Kind    string // the job's kind
	ID      string // the verification_id; for a manifest part, the part's name
	Purpose string // one of the Purpose constants
	Further string // optional; Fields makes one text of several
}

// Fields returns a text that differs for different lists of fields.
func Fields(fields ...string) string { return string(join(fields...)) }

const (
	// scheme is the form's version; a change of the form needs another one.
	scheme = "kq1"
	// insecureKey is the key id of a text that is not encrypted.
	insecureKey = "insecure"

	// The tags separate these uses of the keyset from others.
	associatedDataTag = "kycq sealed v1"
	fingerprintTag    = "kycq fingerprint v1"
	derivedTag        = "kycq derived id v1"
	auditTag          = "kycq audit v1"
)

// encoding refuses non-zero trailing bits. parseText refuses line breaks, which it would skip.
var encoding = base64.RawURLEncoding.Strict()

// Seal encrypts plain with the primary key, bound to b. The result has the form "kq1.<key id>.<base64url>": ASCII, safe in
// JSON, a third longer than plain plus about 60 bytes. It differs for each call.
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

// Open is the reverse of Seal. Its error wraps ErrKeyMissing or ErrBroken and contains no part of the text.
//
// A keyset with keys refuses texts that were written without sealing (ErrBroken): otherwise anyone with write access to
// Redis or S3 could inject inputs. An Insecure keyset returns ErrKeyMissing for sealed texts.
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
		return nil, fmt.Errorf("open with key %d: changed, or sealed with another binding: %w", id, ErrBroken)
	}
	return plain, nil
}

// madeByKey compares the named key id with the one that Tink writes before each ciphertext (a byte 0x01 and the id, big
// endian). Otherwise a text that names the wrong one of two known keys would open.
func madeByKey(data []byte, id uint32) bool {
	return len(data) > 5 && data[0] == 1 && binary.BigEndian.Uint32(data[1:5]) == id
}

// KeyID returns the id of the key of a sealed text. It is false for a malformed text and for one written without sealing.
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
	fields := []string{associatedDataTag, b.Kind, b.ID, b.Purpose}
	if b.Further != "" {
		fields = append(fields, b.Further)
	}
	return join(fields...), nil
}

// join concatenates fields, each after its length, so different lists give different bytes.
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

// parseText accepts exactly what formatText writes: another spelling of the same text (a key id with a leading zero, a line
// break in the base64) would be an undetected change.
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
