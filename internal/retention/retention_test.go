package retention_test

import (
	"testing"
	"time"

	"github.com/kycq/kycq/internal/retention"
)

const day = 24 * time.Hour

func TestTheMoreExactRuleCounts(t *testing.T) {
	t.Parallel()
	rules, err := retention.Parse("aadhaar=90d, aadhaar.failed=30d,passport.valid=365d")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[[2]string]time.Duration{
		{"aadhaar", "valid"}: 90 * day, {"aadhaar", "failed"}: 30 * day, {"passport", "valid"}: 365 * day, {"passport", "failed"}: 0,
	} {
		if _, keep, ok := rules.For(name[0], name[1]); keep != want || ok != (want > 0) {
			t.Errorf("%v: kept for %s, want %s", name, keep, want)
		}
	}
	if only, _ := retention.Parse("passport.valid=1d"); only.Any("aadhaar") || !only.Any("passport") {
		t.Error("a rule of one kind is one of the other")
	}
	if none, err := retention.Parse(""); err != nil || len(none) > 0 {
		t.Errorf("nothing: %v, %v", none, err)
	}
}

func TestWrongRulesAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"aadhaar", "aadhaar=0d", "aadhaar=90", "aadhaar=9h", "pan=1d", "aadhaar.sent=1d", "aadhaar.=1d", "aadhaar=1d,aadhaar=2d", "aadhaar=99999999d"} {
		if _, err := retention.Parse(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}
