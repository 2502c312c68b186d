package seal

import "testing"

func TestDerivedIDsSurviveRotation(t *testing.T) {
	t.Parallel()
	k, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	before := k.DeriveID("passport", "", "SPEC1", "1990-01-31")
	next, err := k.Stage()
	if err == nil {
		next, err = next.Promote()
	}
	if err != nil {
		t.Fatal(err)
	}
	if after := next.DeriveID("passport", "", "SPEC1", "1990-01-31"); after != before || len(before) != 32 {
		t.Errorf("%s became %s", before, after)
	}
	other, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{before: true}
	for _, id := range []string{
		other.DeriveID("passport", "", "SPEC1", "1990-01-31"), k.DeriveID("aadhaar", "", "SPEC1", "1990-01-31"),
		k.DeriveID("passport", "2027", "SPEC1", "1990-01-31"), k.DeriveID("passport", "", "SPEC11", "990-01-31"),
	} {
		if seen[id] {
			t.Error("two inputs have the same id")
		}
		seen[id] = true
	}
}
