package wire

import (
	"context"
	"crypto/rand"
	"maps"
	"os"
	"sync/atomic"
	"time"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/sleep"
	"github.com/kycq/kycq/tasks"
)

// countedVendor counts the calls in flight.
type countedVendor struct {
	*cashfree.Client
	inFlight atomic.Int64
}

func (v *countedVendor) MaskAadhaar(ctx context.Context, r cashfree.MaskRequest) *cashfree.Reply {
	v.inFlight.Add(1)
	defer v.inFlight.Add(-1)
	return v.Client.MaskAadhaar(ctx, r)
}

func (v *countedVendor) VerifyPassport(ctx context.Context, r cashfree.PassportRequest) *cashfree.Reply {
	v.inFlight.Add(1)
	defer v.inFlight.Add(-1)
	return v.Client.VerifyPassport(ctx, r)
}

// describe is what this worker says of itself to the fleet.
func describe(cfg *config.Config, build cli.Build, digitCheck string) redisx.Worker {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	w := redisx.Worker{
		ID: rand.Text(), Host: host, PID: os.Getpid(), Version: build.Version, Since: time.Now().UTC().Truncate(time.Second),
		Concurrency: map[string]int{}, Settings: map[string]string{},
	}
	for kind, bulk := range map[tasks.Kind]int{tasks.Aadhaar: cfg.AadhaarConcurrency, tasks.Passport: cfg.PassportConcurrency} {
		w.Concurrency[tasks.Queue(kind, tasks.Live)] = cfg.LiveConcurrency
		w.Concurrency[tasks.Queue(kind, tasks.Bulk)] = bulk
	}
	maps.Copy(w.Settings, map[string]string{
		"aadhaar_rate": cfg.AadhaarRate.String(), "passport_rate": cfg.PassportRate.String(), "on_lost_answer": cfg.OnLostAnswer,
		"qr_check": cfg.QRCheck, "digit_check": digitCheck,
	})
	return w
}

const heartbeatPatience = 800 * time.Millisecond

// beat tells the fleet about this worker until ctx ends. A failure is not logged: the Redis that fails is reported elsewhere.
func (w *Worker) beat(ctx context.Context) {
	for {
		w.self.CallsOut = int(w.vendor.inFlight.Load())
		w.self.Stopped = ctx.Err() != nil
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), heartbeatPatience)
		_ = redisx.Heartbeat(patience, w.redis, w.self)
		cancel()
		if w.self.Stopped {
			return
		}
		_ = sleep.For(ctx, redisx.HeartbeatEvery)
	}
}
