package redisx_test

import (
	"slices"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/testenv"
)

func TestTheEndsOfADayAreCountedByKindCodeAndBatch(t *testing.T) {
	t.Parallel()
	client := testenv.RedisClient(t)
	hints := redisx.NewHints(client)
	for _, end := range [][3]string{
		{"passport", "provider_error", "b-00000000"},
		{"passport", "provider_error", "b-00000000"},
		{"passport", "provider_error", ""},
		{"aadhaar", "unsafe_mask", ""},
	} {
		if err := hints.CountEnd(t.Context(), end[0], "job", end[1], end[2], 2); err != nil {
			t.Fatal(err)
		}
	}
	watch := client.Subscribe(t.Context(), "asynq:kycq:finished")
	defer func() { _ = watch.Close() }()
	if _, err := watch.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := hints.CountEnd(t.Context(), "passport", "job-2", "", "", 1); err != nil {
		t.Fatal(err)
	}
	if m, err := watch.ReceiveMessage(t.Context()); err != nil || m.Payload != "passport/job-2" {
		t.Errorf("announced: %v, %v", m, err)
	}
	hour := func(ago time.Duration) string {
		return "kycq:{account}:ends:" + time.Now().Add(-ago).UTC().Format("2006010215")
	}
	if life := client.TTL(t.Context(), hour(0)).Val(); life <= 25*time.Hour {
		t.Errorf("the counts of an hour expire in %s", life)
	}
	client.HSet(t.Context(), hour(23*time.Hour), "aadhaar unsafe_mask", 3)
	client.HSet(t.Context(), hour(26*time.Hour), "aadhaar unsafe_mask", 5)
	got, err := redisx.ReadEnds(t.Context(), client)
	paid := map[string]int{}
	for _, day := range []time.Time{time.Now(), time.Now().AddDate(0, 0, -1)} { // it may be midnight
		some, err := redisx.ReadPaid(t.Context(), client, day)
		if err != nil {
			t.Fatal(err)
		}
		for kind, n := range some {
			paid[kind] += n
		}
	}
	if paid["passport"] != 7 || paid["aadhaar"] != 2 {
		t.Errorf("paid calls: %v", paid)
	}
	want := []redisx.Ended{
		{"passport", "provider_error", "b-00000000", 2},
		{"passport", "provider_error", "", 1},
		{"aadhaar", "unsafe_mask", "", 4},
	}
	if err != nil || len(got) != len(want) {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, end := range want {
		if !slices.Contains(got, end) {
			t.Errorf("%+v is missing in %+v", end, got)
		}
	}
}
