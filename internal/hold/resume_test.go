package hold_test

import (
	"slices"
	"testing"

	"github.com/kycq/kycq/internal/hold"
)

func TestResumeKeepsAPauseBesideOtherHolds(t *testing.T) {
	t.Parallel()
	pause, ofPassport := hold.Hold{Cause: hold.Operator}, hold.Hold{Cause: hold.Operator, Kind: "passport"}
	balance, vendor := hold.Hold{Cause: hold.Balance}, hold.Hold{Cause: hold.Vendor, Kind: "aadhaar"}
	resumed := hold.Hold{Cause: hold.Operator, Probing: true}
	for name, c := range map[string]struct {
		all         []hold.Hold
		cause, kind string
		want        []hold.Hold
	}{
		"a pause alone":               {[]hold.Hold{pause}, "", "", []hold.Hold{pause}},
		"two pauses":                  {[]hold.Hold{pause, ofPassport}, "", "", []hold.Hold{pause, ofPassport}},
		"automatic holds":             {[]hold.Hold{balance, vendor}, "", "", []hold.Hold{balance, vendor}},
		"a pause beside a hold":       {[]hold.Hold{pause, balance}, "", "", []hold.Hold{balance}},
		"a pause that ended already":  {[]hold.Hold{resumed, balance}, "", "", []hold.Hold{resumed, balance}},
		"cause operator":              {[]hold.Hold{pause, balance}, hold.Operator, "", []hold.Hold{pause}},
		"cause balance":               {[]hold.Hold{pause, balance}, hold.Balance, "", []hold.Hold{balance}},
		"cause balance, but none":     {[]hold.Hold{pause}, hold.Balance, "", nil},
		"all":                         {[]hold.Hold{pause, balance}, hold.All, "", []hold.Hold{pause, balance}},
		"a kind":                      {[]hold.Hold{pause, balance, vendor}, "", "aadhaar", []hold.Hold{vendor}},
		"a pause of the kind":         {[]hold.Hold{balance, ofPassport}, "", "passport", []hold.Hold{ofPassport}},
		"a kind without a hold alone": {[]hold.Hold{pause, balance}, "", "aadhaar", nil},
	} {
		if got := hold.ToResume(slices.Clone(c.all), c.cause, c.kind); !slices.EqualFunc(got, c.want, hold.Hold.Same) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
