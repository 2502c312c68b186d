package faults

import (
	"os"
	"sync"
	"testing"
	"time"
)

// patience is for anything that must happen in the end. The slowest way is that of a dead worker's job: a lease (30 s),
// asynq's margin and look (30 s, 60 s), the takeover age, and all of it on two processors that other tests share.
// KYCQ_FAULTS_PATIENCE sets another, for builds that are known to be broken.
var patience = sync.OnceValue(func() time.Duration {
	const whole = 6 * time.Minute
	if d, err := time.ParseDuration(os.Getenv("KYCQ_FAULTS_PATIENCE")); err == nil {
		return d
	}
	return whole
})

const look = 200 * time.Millisecond

// until waits for something that another process brings about.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience()); time.Now().Before(deadline); tick(t, look) {
		if is() {
			return
		}
	}
	t.Fatalf("not within %s: %s", patience(), what)
}

// tick is the pause between two looks.
func tick(t testing.TB, d time.Duration) {
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
