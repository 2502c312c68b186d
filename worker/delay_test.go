package worker

import (
	"testing"
	"time"

	"github.com/hibiken/asynq"
)

// asynq adds the delay to the time of this machine.
func TestTheDelayOfATaskIsByTheClockOfRedis(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{0, 365 * 24 * time.Hour, -2 * time.Minute} {
		s := NewServer(ServerConfig{Ahead: func() time.Duration { return ahead }})
		if got := s.retryDelay(0, &deferral{later(time.Minute, "held")}, nil); got != time.Minute-ahead {
			t.Errorf("%s ahead: a delay of %s", ahead, got)
		}
		if got := s.retryDelay(0, asynq.ErrLeaseExpired, nil); got != -ahead {
			t.Errorf("%s ahead: a delay of %s after a lost lease", ahead, got)
		}
	}
}
