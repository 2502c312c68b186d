package faults

import (
	"os"
	"sync"
	"testing"
	"time"
)

// timeout is for anything that must happen eventually. The takeover age after a kill takes longest, on two processors that run
// other tests too. KYCQ_FAULTS_TIMEOUT sets another one, for mutants.
var timeout = sync.OnceValue(func() time.Duration {
	const usual = 6 * time.Minute
	if d, err := time.ParseDuration(os.Getenv("KYCQ_FAULTS_TIMEOUT")); err == nil {
		return d
	}
	return usual
})

const pollInterval = 200 * time.Millisecond

// until waits for a condition that another process brings about.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout()); time.Now().Before(deadline); pause(t, pollInterval) {
		if is() {
			return
		}
	}
	t.Fatalf("not reached within %s: %s", timeout(), what)
}

// pause waits for d, or until the test ends.
func pause(t testing.TB, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
