package batch

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// countingGate counts how often its status is read.
type countingGate struct{ reads int }

func (g *countingGate) Status(context.Context) ([]gate.KindStatus, []hold.Hold, error) {
	g.reads++
	return []gate.KindStatus{{Kind: string(tasks.Passport), PerMinute: 98}}, nil, nil
}

func TestTheRateIsReadOnceInTwoSeconds(t *testing.T) {
	t.Parallel()
	store, err := storage.Open(t.Context(), storage.Config{}) // does not connect
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		g := &countingGate{}
		f := NewFeeder(FeederConfig{Gate: g, Store: store})
		for range 30 { // 3 seconds
			if rate, err := f.perMinute(t.Context(), tasks.Passport); err != nil || rate != 98 {
				t.Fatal(rate, err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if g.reads != 2 {
			t.Errorf("the gate was read %d times", g.reads)
		}
		if _, err := f.perMinute(t.Context(), tasks.Aadhaar); err == nil {
			t.Error("a kind without a rate has one")
		}
	})
}

func TestDurationsReadWell(t *testing.T) {
	t.Parallel()
	for rows, want := range map[int]string{0: "0s", 150: "1m30s", 6000: "1h0m0s", 200_000: "1 d 9 h"} {
		if got := DurationText(TimeFor(rows, 100)); got != want {
			t.Errorf("%d rows: %s, want %s", rows, got, want)
		}
	}
	if TimeFor(10, 0) != 0 {
		t.Error("without a rate there is no time")
	}
}
