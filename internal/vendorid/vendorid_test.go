package vendorid_test

import (
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/vendorid"
)

func TestDerivedIDsFitAndDifferAndAreReserved(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, id := range []string{"A", strings.Repeat("x", 50), strings.Repeat("x", 36) + "y", strings.Repeat("x", 36) + "z"} {
		for _, kind := range []string{"aadhaar", "passport"} {
			for _, n := range []int{1, 2, 10, vendorid.Max} {
				d := vendorid.Derive(kind, id, n)
				if len(d) > 50 {
					t.Errorf("%s has %d characters", d, len(d))
				}
				if !vendorid.IsDerived(d) {
					t.Errorf("%s could be chosen by a producer", d)
				}
				if seen[d] {
					t.Errorf("%s was derived twice", d)
				}
				seen[d] = true
			}
		}
	}
	if got, want := vendorid.Derive("aadhaar", "ABC00123", 1), "ABC00123.k1.RKFK7ISL"; got != want {
		t.Errorf("derived ids must never change: got %s, want %s", got, want)
	}
}
