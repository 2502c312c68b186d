package seal_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/seal"
)

func staged(t testing.TB, k *seal.Keyset) *seal.Keyset {
	t.Helper()
	next, err := k.Stage()
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func promoted(t testing.TB, k *seal.Keyset) *seal.Keyset {
	t.Helper()
	next, err := k.Promote()
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// Neighbours are keysets that are in use at the same moment while a rotation is given out, one process after the other.
func TestAStagedRotationHasNoMomentInWhichATextCannotBeOpened(t *testing.T) {
	t.Parallel()
	before := generate(t)
	stage := reparse(t, staged(t, before))
	after := reparse(t, promoted(t, stage))
	for _, neighbours := range [][2]*seal.Keyset{{before, stage}, {stage, after}} {
		for _, pair := range [][2]*seal.Keyset{neighbours, {neighbours[1], neighbours[0]}} {
			text := sealed(t, pair[0], "plain", place)
			if got, err := pair[1].Open(text, place); err != nil || string(got) != "plain" {
				t.Errorf("sealed with %v, opened with %v: %q, %v", pair[0], pair[1], got, err)
			}
		}
	}
	if primary(t, stage) != primary(t, before) {
		t.Error("staging a key changed the one that seals")
	}
	if primary(t, after) == primary(t, before) {
		t.Error("promoting did not change the key that seals")
	}
	if got, want := after.Fingerprint("passport", "A", nil), before.Fingerprint("passport", "A", nil); got != want {
		t.Error("the fingerprint changed")
	}
}

func TestOneKeyIsStagedAtATime(t *testing.T) {
	t.Parallel()
	k := generate(t)
	if _, err := k.Promote(); err == nil || !strings.Contains(err.Error(), "none is staged") {
		t.Errorf("promoted without a staged key: %v", err)
	}
	stage := staged(t, k)
	info := stage.Info()
	if len(info) != 2 || info[0].Staged || !info[1].Staged || info[1].Primary || !strings.Contains(stage.String(), itoa(info[1].ID)+" staged") {
		t.Errorf("%+v, %v", info, stage)
	}
	for name, next := range map[string]func() (*seal.Keyset, error){"stage": stage.Stage, "rotate": stage.Rotate} {
		if _, err := next(); err == nil || !strings.Contains(err.Error(), itoa(info[1].ID)+" is staged already") {
			t.Errorf("%s over a staged key: %v", name, err)
		}
	}
	if slices.ContainsFunc(rotate(t, promoted(t, stage)).Info(), func(i seal.KeyInfo) bool { return i.Staged }) {
		t.Error("a key is staged after a rotation in one step")
	}
}

func TestThereIsNothingToStageWithoutSealing(t *testing.T) {
	t.Parallel()
	for _, k := range []*seal.Keyset{nil, {}, seal.Insecure()} {
		if _, err := k.Stage(); err == nil {
			t.Error("staged")
		}
		if _, err := k.Promote(); err == nil {
			t.Error("promoted")
		}
	}
}
