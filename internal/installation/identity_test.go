package installation_test

import (
	"errors"
	"testing"

	"github.com/kycq/kycq/tasks"
)

func TestTheIdentityIsMadeOnceAndStaysSealed(t *testing.T) {
	t.Parallel()
	b := newBuckets(t)
	open, err := b.store.Installation(t.Context(), false)
	if err != nil || open == "" {
		t.Fatalf("%q, %v", open, err)
	}
	for _, sealing := range []bool{false, true, true} {
		if name, err := b.store.Installation(t.Context(), sealing); err != nil || name != open {
			t.Errorf("sealing %t: %q, %v, want %q", sealing, name, err, open)
		}
	}
	if name, err := b.store.Installation(t.Context(), false); !errors.Is(err, tasks.ErrSealed) {
		t.Errorf("without a keyset, after one was used: %q, %v", name, err)
	}
	if other, err := newBuckets(t).store.Installation(t.Context(), true); err != nil || other == open {
		t.Errorf("the buckets of another installation: %q, %v", other, err)
	}
}
