package simulator_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/kycq/kycq/internal/dev/simulator"
)

func TestPassportAnswersFollowThePackageComment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // fake time: today is 2000-01-01
		sim := newSim(t, simulator.Config{})
		for n, tt := range []struct {
			fileNumber, dob   string
			result            string
			sameName, sameDOB bool
		}{
			{"PA1079341954215", "1998-12-31", "VALID", true, true},
			{"PA1079341950000", "1998-12-31", "INVALID", false, true},
			{"PA1079341950001", "1998-12-31", "VALID", false, true},
			{"PA1079341950002", "1998-12-31", "VALID", true, false},
			{"PA1079341950003", "1998-12-31", "VALID", false, false},
			{"PA1079341950002", "1996-02-29", "VALID", true, false},
			{"PA-1079341954215", "1998-12-31", "INVALID", false, true},
			{"PA1079341954215PA1079", "1998-12-31", "INVALID", false, true},
			{"PA1079341954215", "2000-01-02", "INVALID", false, true},
			{"PA1079341954215", "2000-01-01", "VALID", true, true},
		} {
			id := fmt.Sprint("id", n)
			got := call(sim, passportRequest("", fmt.Sprintf(
				`{"verification_id":%q,"file_number":%q,"dob":%q,"name":"Specimen Person"}`, id, tt.fileNumber, tt.dob)))
			if got.Status != 200 || got.Result != tt.result || got.VerificationID != id || got.ReferenceID == 0 ||
				got.FileNumber != tt.fileNumber || (got.Name == "Specimen Person") != tt.sameName || (got.DOB == tt.dob) != tt.sameDOB {
				t.Errorf("%s %s: %s", tt.fileNumber, tt.dob, got.Raw)
			}
			if (got.AppType != "") != (tt.result == "VALID") || (got.Received != "") != (tt.result == "VALID") {
				t.Errorf("%s: application %s", tt.fileNumber, got.Raw)
			}
		}
		if n := sim.State().Charged; n != 10 {
			t.Errorf("%d charges: INVALID is paid for too", n)
		}
	})
}

func TestAPassportAnswerDependsOnItsInputAlone(t *testing.T) {
	t.Parallel()
	body := `{"verification_id":"a","file_number":"PA1079341954215","dob":"1998-12-31"}`
	first := call(newSim(t, simulator.Config{Seed: 1}), passportRequest("", body))
	second := call(newSim(t, simulator.Config{Seed: 2}), passportRequest("", body))
	if string(first.Raw) != string(second.Raw) || first.Name == "" {
		t.Errorf("%s and %s", first.Raw, second.Raw)
	}
}

func BenchmarkPassport(b *testing.B) {
	sim, err := simulator.New(simulator.Config{Limit: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = sim.Close() }()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		if got := call(sim, passportRequest("", passportBody(fmt.Sprint(n)))); got.Status != 200 {
			b.Fatal(got.Status)
		}
	}
}
