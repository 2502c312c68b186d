package installation

import (
	"testing"
	"testing/synctest"
	"time"
)

// A worker that was paused, or cannot read the file, must have stopped before another Redis may be adopted.
func TestALookIsUsedForLessThanTheTimeUntilAnotherRedisMayBeAdopted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := New(Config{})
		if k.Name() != "" {
			t.Error("a worker may call before its first look")
		}
		k.last = Found{State: Verified, File: &File{Redis: "N"}, Age: time.Minute, at: time.Now()}
		<-time.After(useFor - time.Minute)
		if k.Name() != "N" {
			t.Error("the look is not used")
		}
		<-time.After(time.Second)
		if k.Name() != "" {
			t.Errorf("the look is still used %s after the last renewal", useFor+time.Second)
		}
	})
	if useFor >= adoptAfter || renewAfter+2*lookEvery > useFor {
		t.Error("the times leave no room")
	}
}
