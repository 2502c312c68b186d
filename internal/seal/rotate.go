package seal

import (
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// Stage gives a keyset with one more key, which opens and does not seal yet; all old keys stay. Given to everybody, it
// changes nothing: that is the first half of a rotation without a moment in which one process seals what another cannot
// open. Promote is the second. One key can be staged at a time.
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

// Promote gives a keyset in which the staged key seals. Whoever has the keyset of Stage opens what it seals.
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

// Rotate is Stage and Promote at once. All old keys stay, so what they sealed still opens. The fingerprint key never
// changes, since fingerprints are compared over years.
//
// Whoever still has the old keyset cannot open what the new one seals: a worker parks such a job until it can. Stage and
// Promote, given out one after the other, spare the fleet that.
func (k *Keyset) Rotate() (*Keyset, error) {
	next, err := k.Stage()
	if err != nil {
		return nil, fmt.Errorf("rotate keyset: %w", err)
	}
	return next.Promote()
}

// managed is the keyset that the manager has made of m.
func (m *material) managed(manager *keyset.Manager, op string) (*Keyset, error) {
	seals, err := manager.Handle()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	return newKeyset(seals, m.prints)
}

// markStaged marks the last key where it is not the primary: keys are only ever added at the end, and the primary key is
// only ever moved forward.
func markStaged(keys []KeyInfo) {
	if last := &keys[len(keys)-1]; !last.Primary {
		last.Staged = true
	}
}

func (m *material) staged() (id uint32, ok bool) {
	last := m.keys[len(m.keys)-1]
	return last.ID, last.Staged
}
