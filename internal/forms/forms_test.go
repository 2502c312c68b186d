package forms_test

import (
	"strings"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/forms"
)

func TestBucketNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"kycq-inbox": true, "a.b": true, "abc": true, strings.Repeat("a", 63): true,
		"": false, "ab": false, strings.Repeat("a", 64): false, "-ab": false, "ab-": false, "No": false, "a_b": false, "a/b": false,
	} {
		if got := forms.IsBucket(name); got != want {
			t.Errorf("%q: got %v, want %v", name, got, want)
		}
	}
}

func TestTimesAreUTCWithMilliseconds(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 8, 34, 5, 999_999, time.FixedZone("IST", 19800))
	if got, want := forms.FormatTime(at), "2026-01-02T03:04:05.000Z"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
