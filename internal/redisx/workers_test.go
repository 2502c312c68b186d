package redisx_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/redisx"
)

func TestWorkersAreAliveWhileTheirHeartbeatIsRecent(t *testing.T) {
	t.Parallel()
	server, client := fake(t)
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	server.SetTime(at)
	beat := func(w redisx.Worker) { check(t, redisx.Heartbeat(t.Context(), client, w)) }
	beat(redisx.Worker{ID: "c", Host: "three", PID: 3})
	beat(redisx.Worker{ID: "a", Host: "one", PID: 1, CallsOut: 2})
	want := func(what string, list string) {
		t.Helper()
		got := ""
		for _, w := range must[[]redisx.Worker](t)(redisx.Workers(t.Context(), client)) {
			got += fmt.Sprintf("%s %v %s %d; ", w.Host, w.Alive(), w.SeenAgo.Round(time.Second), w.CallsOut)
		}
		if got != list {
			t.Errorf("%s: %s\nwant %s", what, got, list)
		}
	}
	want("both alive", "one true 0s 2; three true 0s 0; ")
	server.SetTime(at.Add(3 * time.Second))
	want("3 s later", "one true 3s 2; three true 3s 0; ")
	server.SetTime(at.Add(4 * time.Second))
	want("4 s later", "one false 4s 2; three false 4s 0; ")
	server.SetTime(at.Add(time.Minute))
	beat(redisx.Worker{ID: "b", Host: "two", PID: 2})
	beat(redisx.Worker{ID: "c", Host: "three", PID: 3, Stopped: true})
	want("one crashed, one stopped", "two true 0s 0; three false 0s 0; one false 1m0s 2; ")
	server.SetTime(at.Add(-time.Hour))
	want("Redis' clock went back", "one true 0s 2; two true 0s 0; three false 0s 0; ")
	server.SetTime(at.Add(8 * 24 * time.Hour))
	beat(redisx.Worker{ID: "d", Host: "four", PID: 4})
	want("after a week", "four true 0s 0; ")
	entries, _ := server.HKeys("kycq:{account}:workers")
	seen, _ := server.ZMembers("kycq:{account}:workers:seen")
	if len(entries) != 1 || len(seen) != 1 {
		t.Errorf("kept after a week: %v, %v", entries, seen)
	}
}
