package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/rate"
)

func TestEachChangeOfTheFleetIsOneLine(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	e := &events{
		log: zerolog.New(&log), kinds: map[string]gate.KindStatus{}, lost: map[string]time.Time{},
		self: func(h hold.Hold) bool { return h.Host == "mine" },
	}
	kind := func(calls, limited int, last time.Time) []gate.KindStatus {
		return []gate.KindStatus{{Kind: "passport", Configured: rate.Rate{Calls: calls, Per: time.Minute}, Limited: limited, LastLimited: last}}
	}
	pause := hold.Hold{Cause: hold.Operator, Code: "paused", Reason: "a top-up", By: "asha"}
	resumed := pause
	resumed.Probing = true
	mine := hold.Hold{Cause: hold.Balance, Host: "mine"}
	foreign := hold.Hold{Cause: hold.Vendor, Code: "jane@example"}
	at := time.Now()
	down := errors.New("refused")
	steps := []struct {
		do   func()
		want string // in the line; empty: there is none
	}{
		{func() { e.compare(kind(100, 0, time.Time{}), nil) }, ""},
		{func() { e.compare(kind(100, 0, time.Time{}), []hold.Hold{pause, mine}) }, `"cause":"operator","code":"paused","reason":"a top-up"`},
		{func() { e.compare(kind(100, 0, time.Time{}), []hold.Hold{pause, mine}) }, ""},
		{func() { e.compare(kind(100, 0, time.Time{}), []hold.Hold{resumed, mine}) }, "a hold is resumed"},
		{func() { e.compare(kind(100, 0, time.Time{}), []hold.Hold{mine}) }, "a hold has ended"},
		{func() { e.compare(kind(50, 0, time.Time{}), []hold.Hold{mine}) }, `"before":"100/m","now":"50/m"`},
		{func() { e.compare(kind(50, 2, at), []hold.Hold{mine}) }, `"count":2,`},
		{func() { e.compare(kind(50, 2, at), []hold.Hold{mine, foreign}) }, `"cause":"vendor","code":"other"`},
		{func() { e.answers("Redis", down) }, "Redis does not answer"},
		{func() { e.answers("Redis", down) }, ""},
		{func() { e.answers("S3", nil) }, ""},
		{func() { e.answers("Redis", nil) }, "Redis answers again"},
	}
	for i, s := range steps {
		log.Reset()
		s.do()
		if got := log.String(); strings.Count(got, "\n") != len(s.want[:min(1, len(s.want))]) || !strings.Contains(got, s.want) {
			t.Errorf("step %d: %q, want %q", i, got, s.want)
		}
	}
}
