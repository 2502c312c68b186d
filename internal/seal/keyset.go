package seal

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Keyset encrypts, decrypts and fingerprints. It is immutable and safe for concurrent use, and prints as its key ids. The
// zero Keyset has no keys and returns errors, so a missing keyset never results in plain text.
type Keyset struct {
	// Behind a pointer, since fmt prints unexported fields of an outer struct without calling their Format method.
	m *material
}

type material struct {
	insecure bool

	seals   *keyset.Handle // one or more AEAD keys
	primary uint32
	keys    []KeyInfo
	aead    tink.AEAD

	prints *keyset.Handle // exactly one key, which never changes
	prf    *prf.Set
}

// KeyInfo describes one of the keys that seal and open.
type KeyInfo struct {
	ID      uint32 `json:"id"`
	Type    string `json:"type"`             // "AES256-GCM" or "XChaCha20-Poly1305"
	Primary bool   `json:"primary"`          // seals new texts
	Staged  bool   `json:"staged,omitempty"` // opens, and seals after Promote
}

// Generate returns a keyset of one AES-256-GCM key and one HMAC-SHA-256 key for fingerprints.
//
// With AES-GCM's random 96-bit nonces one key is good for 2^32 texts: 80 years at 100 calls a minute. Parse also accepts
// XChaCha20-Poly1305 keys made with Tink's tool.
func Generate() (*Keyset, error) {
	seals, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("generate keyset: %w", err)
	}
	prints, err := keyset.NewHandle(prf.HMACSHA256PRFKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("generate keyset: %w", err)
	}
	return newKeyset(seals, prints)
}

// Insecure is the keyset of --insecure-no-sealing: texts are base64 and marked as such, bindings are not checked, and
// fingerprints and derived ids are plain SHA-256. It has no key to marshal or rotate.
func Insecure() *Keyset { return &Keyset{m: &material{insecure: true}} }

// Sealing reports whether texts are encrypted. It is false for Insecure.
func (k *Keyset) Sealing() bool {
	m, err := k.loaded()
	return err == nil && !m.insecure
}

// Info returns the keys that seal and open, in the keyset's order; none for Insecure.
func (k *Keyset) Info() []KeyInfo {
	m, err := k.loaded()
	if err != nil {
		return nil
	}
	return slices.Clone(m.keys)
}

// fingerprintBytes is the length of an HMAC-SHA-256.
const fingerprintBytes = 32

// Fingerprint returns 64 hex digits that are equal for equal kind, id and input, with every keyset rotated from the same
// Generate. It is keyed, since inputs such as dates of birth can be guessed.
func (k *Keyset) Fingerprint(kind, id string, input []byte) string {
	return hex.EncodeToString(k.print(fingerprintTag, kind, id, string(input)))
}

// MAC returns the message authentication code of a text of the audit trail: 64 hex digits, equal with every keyset rotated from
// the same Generate.
func (k *Keyset) MAC(text []byte) string { return hex.EncodeToString(k.print(auditTag, string(text))) }

// derivedLength is the length of a derived id: 160 bits in base32. A verification_id has at most 50 characters.
const derivedLength = 32

// DeriveID returns a verification_id of 32 letters and digits, which is equal for equal kind, label and input, with every keyset
// rotated from the same Generate. It is keyed, like Fingerprint.
func (k *Keyset) DeriveID(kind, label string, input ...string) string {
	sum := k.print(append([]string{derivedTag, kind, label}, input...)...)
	return base32.StdEncoding.EncodeToString(sum)[:derivedLength]
}

// print returns the HMAC of the fields under the fingerprint key.
func (k *Keyset) print(fields ...string) []byte {
	message := join(fields...)
	m, err := k.loaded()
	if err != nil {
		panic("seal: fingerprint of the zero Keyset") // an empty one would make all inputs equal
	}
	if m.insecure {
		sum := sha256.Sum256(message)
		return sum[:]
	}
	sum, err := m.prf.ComputePrimaryPRF(message, fingerprintBytes)
	if err != nil {
		panic("seal: " + err.Error()) // newKeyset has tried this length
	}
	return sum
}

func newKeyset(seals, prints *keyset.Handle) (*Keyset, error) {
	keys, err := checkSeals(seals)
	if err != nil {
		return nil, err
	}
	if err := checkPrints(prints); err != nil {
		return nil, err
	}
	m := &material{seals: seals, prints: prints, keys: keys}
	for _, key := range keys {
		if key.Primary {
			m.primary = key.ID
		}
	}
	markStaged(keys)
	if m.aead, err = aead.New(seals); err != nil {
		return nil, errors.New("the seal keys are not usable by Tink")
	}
	if m.prf, err = prf.NewPRFSet(prints); err != nil {
		return nil, errors.New("the fingerprint key is not usable by Tink")
	}
	if _, err := m.prf.ComputePrimaryPRF(nil, fingerprintBytes); err != nil {
		return nil, fmt.Errorf("the fingerprint key cannot give %d bytes", fingerprintBytes)
	}
	return &Keyset{m: m}, nil
}

func (k *Keyset) loaded() (*material, error) {
	if k == nil || k.m == nil {
		return nil, errors.New("no keyset: run `kycq keys generate` and set KYCQ_KEYSET_FILE")
	}
	return k.m, nil
}

func (k *Keyset) withKeys() (*material, error) {
	m, err := k.loaded()
	if err == nil && m.insecure {
		err = errors.New("sealing is off, so there are no keys")
	}
	return m, err
}

func (m *material) has(id uint32) bool {
	return slices.ContainsFunc(m.keys, func(key KeyInfo) bool { return key.ID == id })
}

// String shows the key ids, never the keys.
func (k Keyset) String() string {
	if k.m == nil {
		return "keyset(none)"
	}
	if k.m.insecure {
		return "keyset(insecure: no sealing)"
	}
	var b strings.Builder
	for _, key := range k.m.keys {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(formatID(key.ID))
		switch {
		case key.Primary:
			b.WriteString(" primary")
		case key.Staged:
			b.WriteString(" staged")
		}
	}
	return "keyset(" + b.String() + ")"
}

// Format prints String for every verb, also for %#v and %x.
func (k Keyset) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, k.String()) }

// MarshalText makes encoding/json, YAML and zerolog show the key ids; Marshal writes the keys.
func (k Keyset) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// LogValue makes log/slog show the key ids.
func (k Keyset) LogValue() slog.Value { return slog.StringValue(k.String()) }
