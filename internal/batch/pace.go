package batch

import (
	"context"
	"fmt"
	"time"

	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/tasks"
)

// Gate reports rates and holds: *gate.Gate.
type Gate interface {
	Status(ctx context.Context) ([]gate.KindStatus, []hold.Hold, error)
}

// TimeFor is how long that many calls take at a rate; 0 if the rate is 0.
func TimeFor(calls int, perMinute float64) time.Duration {
	if perMinute <= 0 {
		return 0
	}
	return time.Duration(float64(calls) / perMinute * float64(time.Minute)).Round(time.Second)
}

// DurationText formats a duration for people, in days and hours if it is long.
func DurationText(d time.Duration) string {
	if days := d / (24 * time.Hour); days > 0 {
		return fmt.Sprintf("%d d %d h", days, (d%(24*time.Hour))/time.Hour)
	}
	return d.Round(time.Second).String()
}

// paceLife is how long a rate is cached: a feeder needs it ten times a second.
const paceLife = 2 * time.Second

// perMinute returns the present rate of a kind over the whole fleet, in calls a minute.
func (f *Feeder) perMinute(ctx context.Context, kind tasks.Kind) (float64, error) {
	return f.rates.get(kind, func() (float64, error) {
		kinds, _, err := f.Gate.Status(ctx)
		if err != nil {
			return 0, err
		}
		for _, k := range kinds {
			if k.Kind == string(kind) {
				return k.PerMinute, nil
			}
		}
		return 0, fmt.Errorf("the gate has no rate for %s", kind)
	})
}
