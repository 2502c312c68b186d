package doctor_test

import (
	"context"
	"errors"
	"iter"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/objects"
)

func TestUnmaskedImagesThatStayAreAWarning(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		image objects.Info
		late  bool
		want  string
	}{
		{objects.Info{Key: "single/A.1f00c3aa0000", Age: time.Hour}, true, ""},
		{objects.Info{Key: "single/A.1f00c3aa0000", Age: 25 * time.Hour}, true, "warn inbox "},
		{objects.Info{Key: "quarantine/A", Age: 25 * time.Hour}, true, ""}, // waits for a person
		{objects.Info{Key: "quarantine/A", Age: 16 * 24 * time.Hour}, false, ""},
		{objects.Info{Key: "quarantine/A", Age: 16 * 24 * time.Hour}, true, "warn inbox-renewal "},
	} {
		target := healthy(t)
		target.Redis = fakeRedis{late: c.late}
		target.Inbox = func(context.Context) iter.Seq2[objects.Info, error] {
			return func(yield func(objects.Info, error) bool) { yield(c.image, nil) }
		}
		if got := findings(target); got != c.want {
			t.Errorf("%+v: %q, want %q", c.image, got, c.want)
		}
	}
}

// A listing of a million images would take minutes.
func TestABigInboxIsNotReadToItsEnd(t *testing.T) {
	t.Parallel()
	target, listed := healthy(t), 0
	target.Inbox = func(context.Context) iter.Seq2[objects.Info, error] {
		return func(yield func(objects.Info, error) bool) {
			for ; listed < 20_000 && yield(objects.Info{Key: "single/A", Age: 25 * time.Hour}, nil); listed++ {
			}
		}
	}
	if got := findings(target); got != "warn inbox " || listed >= 20_000 {
		t.Errorf("%q after %d images", got, listed)
	}
}

func TestAPrometheusWithoutAnswerOrMetricsIsAWarning(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		found bool
		err   error
		want  string
	}{{true, nil, ""}, {false, nil, "warn prometheus "}, {false, errors.New("refused"), "warn prometheus "}} {
		target := healthy(t)
		target.Prometheus = func(context.Context) (bool, error) { return c.found, c.err }
		if got := findings(target); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
