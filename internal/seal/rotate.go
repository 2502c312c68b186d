package seal

import (
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// Stage returns the keyset with one more key, which opens but does not seal yet. Once all processes have it, Promote makes
// that key seal: so at no moment does one process seal what another cannot open. One key can be staged at a time.
func (k *Keyset) Stage() (*Keyset, error) {
	m, err := k.withKeys()
	if err != nil {
		return nil, fmt.Errorf("stage a key: %w", err)
	}
	if id, ok := m.staged(); ok {
		return nil, fmt.Errorf("stage a key: key %d is staged already: promote it first", id)
	}
	manager := keyset.NewManagerFromHandle(m.seals)
	if _, err := manager.Add(aead.AES256GCMKeyTemplate()); err != nil {
		return nil, fmt.Errorf("stage a key: %w", err)
	}
	return m.managed(manager, "stage a key")
}

// Promote returns the keyset with the staged key as the primary one. Processes with the keyset of Stage can open its texts.
func (k *Keyset) Promote() (*Keyset, error) {
	m, err := k.withKeys()
	if err != nil {
		return nil, fmt.Errorf("promote a key: %w", err)
	}
	id, ok := m.staged()
	if !ok {
		return nil, errors.New("promote a key: none is staged")
	}
	manager := keyset.NewManagerFromHandle(m.seals)
	if err := manager.SetPrimary(id); err != nil {
		return nil, fmt.Errorf("promote a key: %w", err)
	}
	return m.managed(manager, "promote a key")
}

// Rotate is Stage and Promote at once. All old keys stay, so their texts still open. The fingerprint key never changes,
// since fingerprints are compared over years. A process with the old keyset cannot open what the new one seals: a worker
// postpones such a job until it can.
func (k *Keyset) Rotate() (*Keyset, error) {
	next, err := k.Stage()
	if err != nil {
		return nil, fmt.Errorf("rotate keyset: %w", err)
	}
	return next.Promote()
}

// managed returns the keyset with the manager's keys.
func (m *material) managed(manager *keyset.Manager, op string) (*Keyset, error) {
	seals, err := manager.Handle()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	return newKeyset(seals, m.prints)
}

// markStaged marks the last key unless it is the primary one: keys are added at the end, and the primary moves forward.
func markStaged(keys []KeyInfo) {
	if last := &keys[len(keys)-1]; !last.Primary {
		last.Staged = true
	}
}

func (m *material) staged() (id uint32, ok bool) {
	last := m.keys[len(m.keys)-1]
	return last.ID, last.Staged
}
