package cashfree_test

import (
	"testing"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/dev/simulator"
	"github.com/kycq/kycq/internal/dev/simulator/simtest"
	"github.com/kycq/kycq/internal/redact"
)

func TestCheckDistinguishesRefusalsAndIsNotCharged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		allowed []string
		secret  string
		want    cashfree.Class
	}{
		"known":       {nil, "specimen", cashfree.Rejected},
		"wrong":       {nil, "wrong", cashfree.Credentials},
		"not allowed": {[]string{"10.0.0.0/8"}, "specimen", cashfree.NotAllowed},
	} {
		sim := simtest.Start(t, simulator.Config{ClientID: "sim", ClientSecret: "specimen", AllowedIPs: c.allowed})
		client, err := cashfree.New(cashfree.Config{URL: sim.URL, ClientID: "sim", ClientSecret: redact.NewSecret(c.secret)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		if got := client.Check(t.Context()); got.Class != c.want {
			t.Errorf("%s: %s", name, got)
		}
		for _, e := range sim.Entries(t) {
			if e.Charged || e.VerificationID != "" {
				t.Errorf("%s: %+v", name, e)
			}
		}
	}
}
