// Package sleep waits for a duration or the end of a context, and measures how long something has taken.
package sleep

import (
	"context"
	"time"
)

// Elapsed returns the time since t by the monotonic or the wall clock, whichever is larger: the monotonic clock stops while a
// machine is suspended, and the wall clock can be set back.
func Elapsed(t time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}

// For waits until d has passed or ctx has ended. It returns the error of ctx in the latter case.
func For(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
