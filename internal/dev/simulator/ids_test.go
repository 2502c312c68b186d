package simulator_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kycq/kycq/internal/dev/simulator"
	"github.com/kycq/kycq/internal/dev/simulator/simtest"
)

func TestIDsTakenOnArrivalAreUsedUpByErrors(t *testing.T) {
	t.Parallel()
	sim := newSim(t, simulator.Config{TakeIDs: simulator.TakeOnArrival})
	addFault(t, sim, simulator.Fault{Fault: "500", Count: 1})
	wantError(t, call(sim, passportRequest("", passportBody("a"))), 500, "verification_failed")
	wantError(t, call(sim, passportRequest("", passportBody("a"))), 409, "verification_id_already_exists")
	sim.SetBalance(0)
	wantError(t, call(sim, passportRequest("", passportBody("b"))), 422, "insufficient_balance")
	sim.SetBalance(-1)
	wantError(t, call(sim, passportRequest("", passportBody("b"))), 409, "verification_id_already_exists")
}

func TestIDsTakenOnSuccessAreNotUsedUpByErrors(t *testing.T) {
	t.Parallel()
	sim := newSim(t, simulator.Config{TakeIDs: simulator.TakeOnSuccess})
	for _, fault := range []string{"500", "502", "503", "504", "401", "403", "429", "422"} {
		addFault(t, sim, simulator.Fault{Fault: fault, Count: 1})
		if got := call(sim, passportRequest("", passportBody("a"))); fmt.Sprint(got.Status) != fault {
			t.Errorf("fault %s: %d", fault, got.Status)
		}
	}
	if got := call(sim, passportRequest("", passportBody("a"))); got.Status != 200 {
		t.Errorf("%d %s", got.Status, got.Raw)
	}
	wantError(t, call(sim, passportRequest("", passportBody("a"))), 409, "verification_id_already_exists")
}

func TestRefusalsByTheGatewayDoNotTakeIDs(t *testing.T) {
	t.Parallel()
	sim := newSim(t, simulator.Config{TakeIDs: simulator.TakeOnArrival})
	for _, fault := range []string{"401", "403", "429"} {
		addFault(t, sim, simulator.Fault{Fault: fault, Count: 1})
		if got := call(sim, passportRequest("", passportBody("a"))); fmt.Sprint(got.Status) != fault {
			t.Errorf("fault %s: %d", fault, got.Status)
		}
	}
	if got := call(sim, passportRequest("", passportBody("a"))); got.Status != 200 {
		t.Errorf("%d %s", got.Status, got.Raw)
	}
}

func TestAnInvalidRequestTakesNoID(t *testing.T) {
	t.Parallel()
	sim := newSim(t, simulator.Config{TakeIDs: simulator.TakeOnArrival})
	wantError(t, call(sim, passportRequest("", `{"verification_id":"a"}`)), 400, "file_number_missing")
	if got := call(sim, passportRequest("", passportBody("a"))); got.Status != 200 {
		t.Errorf("%d %s", got.Status, got.Raw)
	}
}

func TestIDsAreTakenPerEndpoint(t *testing.T) {
	t.Parallel()
	sim := newSim(t, simulator.Config{Masker: blank})
	call(sim, passportRequest("", passportBody("a")))
	if got := call(sim, maskRequest("", "a", picture(t))); got.Result != "VALID" {
		t.Errorf("%d %s", got.Status, got.Raw)
	}
}

func TestABalanceRunsOutAndIsToppedUp(t *testing.T) {
	t.Parallel()
	sim := newSim(t, simulator.Config{Balance: 2})
	for n, want := range []int{200, 200, 422, 422} {
		if got := call(sim, passportRequest("", passportBody(fmt.Sprint("id", n)))); got.Status != want {
			t.Errorf("call %d: %d, want %d", n, got.Status, want)
		}
	}
	sim.SetBalance(1)
	if got := call(sim, passportRequest("", passportBody("id2"))); got.Status != 200 {
		t.Errorf("after the top-up: %d", got.Status)
	}
	if got := call(sim, passportRequest("", passportBody("id3"))); got.Status != 422 {
		t.Errorf("after the last call: %d", got.Status)
	}
}

// The latency lets all calls arrive before the first of them is decided.
func TestConcurrentCallsWithOneIDAreChargedOnce(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{simulator.TakeOnArrival, simulator.TakeOnSuccess} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sim := newSim(t, simulator.Config{TakeIDs: mode, Latency: time.Second})
				var ok, taken atomic.Int32
				var wg sync.WaitGroup
				for range 50 {
					wg.Go(func() {
						switch got := call(sim, passportRequest("", passportBody("one"))); got.Status {
						case 200:
							ok.Add(1)
						case 409:
							taken.Add(1)
						}
					})
				}
				wg.Wait()
				if ok.Load() != 1 || taken.Load() != 49 || sim.State().Charged != 1 {
					t.Errorf("%d answers, %d conflicts, %d charges", ok.Load(), taken.Load(), sim.State().Charged)
				}
			})
		})
	}
}

func TestConcurrentCallsDoNotOverdrawTheBalance(t *testing.T) {
	t.Parallel()
	srv := simtest.Start(t, simulator.Config{Balance: 100})
	c := client(t)
	var ok, empty atomic.Int32
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for n := range 25 {
				resp, err := c.Do(passportRequest(srv.URL, passportBody(fmt.Sprint(worker, "-", n))))
				if err != nil {
					t.Error(err)
					return
				}
				_ = resp.Body.Close()
				switch resp.StatusCode {
				case 200:
					ok.Add(1)
				case 422:
					empty.Add(1)
				}
			}
		})
	}
	wg.Wait()
	s := srv.Sim.State()
	if ok.Load() != 100 || empty.Load() != 100 || s.Balance != 0 || s.Charged != 100 {
		t.Errorf("%d answers, %d refusals, balance %d, %d charges", ok.Load(), empty.Load(), s.Balance, s.Charged)
	}
	for n, e := range srv.Entries(t) {
		if e.Seq != int64(n+1) {
			t.Fatalf("entry %d has the number %d", n+1, e.Seq)
		}
	}
}

func addFault(t *testing.T, sim *simulator.Simulator, f simulator.Fault) simulator.Fault {
	t.Helper()
	added, err := sim.AddFault(f)
	if err != nil {
		t.Fatal(err)
	}
	return added
}
