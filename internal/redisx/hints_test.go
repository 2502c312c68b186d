package redisx_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/access"
	"github.com/kycq/kycq/internal/redisx"
)

// fake is a miniredis, for tests that advance its clock.
func fake(t *testing.T) (*miniredis.Miniredis, redis.UniversalClient) {
	t.Helper()
	server := miniredis.RunT(t)
	return server, open(t, "redis://"+server.Addr())
}

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestCrashesCountUntilClearedOrADayHasPassed(t *testing.T) {
	t.Parallel()
	server, client := fake(t)
	ctx, hints, count := t.Context(), redisx.NewHints(client), must[int64](t)
	for want := int64(1); want <= 3; want++ {
		if got := count(hints.RaiseCrashCount(ctx, "aadhaar", "A")); got != want {
			t.Errorf("raise %d: got %d", want, got)
		}
	}
	if got := count(hints.CrashCount(ctx, "passport", "A")); got != 0 {
		t.Errorf("another kind's job has the count %d", got)
	}
	server.FastForward(23 * time.Hour)
	if got := count(hints.CrashCount(ctx, "aadhaar", "A")); got != 3 {
		t.Errorf("after 23 hours: got %d", got)
	}
	check(t, hints.ClearCrashCount(ctx, "aadhaar", "A"))
	if got := count(hints.CrashCount(ctx, "aadhaar", "A")); got != 0 {
		t.Errorf("cleared: got %d", got)
	}
	count(hints.RaiseCrashCount(ctx, "aadhaar", "A"))
	server.FastForward(25 * time.Hour)
	if got := count(hints.CrashCount(ctx, "aadhaar", "A")); got != 0 {
		t.Errorf("after 25 hours: got %d", got)
	}
}

func TestAnswersAreKeptForSevenDays(t *testing.T) {
	t.Parallel()
	server, client := fake(t)
	ctx, hints := t.Context(), redisx.NewHints(client)
	kept := func() string {
		t.Helper()
		sealed, ok, err := hints.KeptAnswer(ctx, "aadhaar", "A")
		check(t, err)
		if ok != (sealed != "") {
			t.Errorf("ok is %t for %q", ok, sealed)
		}
		return sealed
	}
	if got := kept(); got != "" {
		t.Errorf("before: got %q", got)
	}
	check(t, hints.KeepAnswer(ctx, "aadhaar", "A", "kq1.1.old"))
	check(t, hints.KeepAnswer(ctx, "aadhaar", "A", "kq1.1.new"))
	server.FastForward(167 * time.Hour)
	if got := kept(); got != "kq1.1.new" {
		t.Errorf("got %q", got)
	}
	if !server.Exists("kycq:{aadhaar}:answer:A") {
		t.Error("the documented key does not exist")
	}
	check(t, hints.DropAnswer(ctx, "aadhaar", "A"))
	if got := kept(); got != "" {
		t.Errorf("dropped: got %q", got)
	}
	check(t, hints.KeepAnswer(ctx, "aadhaar", "A", "kq1.1.new"))
	server.FastForward(169 * time.Hour)
	if got := kept(); got != "" {
		t.Errorf("after a week: got %q", got)
	}
}

func TestReissuesAreCountedByDayOverTheFleet(t *testing.T) {
	t.Parallel()
	server, client := fake(t)
	ctx, one, two := t.Context(), redisx.NewHints(client), redisx.NewHints(client)
	take := must[bool](t)
	server.SetTime(time.Date(2026, 3, 1, 23, 59, 0, 0, time.UTC))
	if got := []bool{take(one.TakeReissue(ctx, 2)), take(two.TakeReissue(ctx, 2)), take(one.TakeReissue(ctx, 2))}; !slices.Equal(got, []bool{true, true, false}) {
		t.Errorf("limit 2: got %v", got)
	}
	if take(two.TakeReissue(ctx, 0)) {
		t.Error("a limit of 0 allowed one")
	}
	server.SetTime(time.Date(2026, 3, 2, 0, 0, 1, 0, time.UTC))
	if !take(two.TakeReissue(ctx, 2)) {
		t.Error("none on the next day")
	}
}

func TestOnlyOneProcessLeads(t *testing.T) {
	t.Parallel()
	server, client := fake(t)
	ctx, leads := t.Context(), must[bool](t)
	a, b := redisx.NewLeader(client, "sweep", time.Minute), redisx.NewLeader(client, "sweep", time.Minute)
	if !leads(a.Lead(ctx)) || leads(b.Lead(ctx)) {
		t.Fatal("want a to lead, and b not to")
	}
	server.FastForward(45 * time.Second)
	if !leads(a.Lead(ctx)) {
		t.Error("a could not renew")
	}
	server.FastForward(45 * time.Second)
	if leads(b.Lead(ctx)) {
		t.Error("b leads although a has renewed")
	}
	server.FastForward(20 * time.Second)
	if !leads(b.Lead(ctx)) || leads(a.Lead(ctx)) {
		t.Error("want b to lead after a's time, and a not to")
	}
	check(t, a.Resign(ctx))
	if leads(a.Lead(ctx)) {
		t.Error("a resigned b's leadership")
	}
	check(t, b.Resign(ctx))
	if !leads(a.Lead(ctx)) {
		t.Error("a could not lead after b had resigned")
	}
	other := redisx.NewLeader(client, "janitor", time.Minute)
	if !leads(other.Lead(ctx)) {
		t.Error("leaderships of different names conflict")
	}
}

func TestErrorsOfRedisAreReturned(t *testing.T) {
	t.Parallel()
	server, client := fake(t)
	server.SetError("LOADING Redis is loading the dataset in memory")
	ctx, hints := context.WithoutCancel(t.Context()), redisx.NewHints(client)
	for name, call := range map[string]func() error{
		"raise":   func() error { _, err := hints.RaiseCrashCount(ctx, "aadhaar", "A"); return err },
		"crashes": func() error { _, err := hints.CrashCount(ctx, "aadhaar", "A"); return err },
		"clear":   func() error { return hints.ClearCrashCount(ctx, "aadhaar", "A") },
		"keep":    func() error { return hints.KeepAnswer(ctx, "aadhaar", "A", "x") },
		"kept":    func() error { _, _, err := hints.KeptAnswer(ctx, "aadhaar", "A"); return err },
		"drop":    func() error { return hints.DropAnswer(ctx, "aadhaar", "A") },
		"take":    func() error { _, err := hints.TakeReissue(ctx, 1); return err },
		"lead":    func() error { _, err := redisx.NewLeader(client, "x", time.Second).Lead(ctx); return err },
		"round": func() error {
			return redisx.CountRound(ctx, client, redisx.Rounds{Open: map[string]int64{"aadhaar": 1}})
		},
		"missing": func() error { return redisx.AddMissing(ctx, client, 1) },
		"rounds":  func() error { _, err := redisx.ReadRounds(ctx, client); return err },
		"check":   func() error { _, err := redisx.Check(ctx, client, access.Worker); return err },
	} {
		if call() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
