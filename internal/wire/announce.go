package wire

import (
	"context"
	"time"

	"github.com/kycq/kycq/internal/metrics"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/storage"
)

// jobName names a job that is final.
type jobName struct{ kind, id string }

const (
	// finishedBacklog is how many names wait at most; more are dropped, since requests that wait for a job also read its record.
	finishedBacklog = 1000
	publishTimeout  = 2 * time.Second
)

// announcer is the observer of the processor. It passes on the names of final jobs without blocking.
type announcer struct {
	*metrics.Metrics
	finished chan<- jobName
}

// Finished implements worker.Observer.
func (a *announcer) Finished(rec *storage.Record) {
	a.Metrics.Finished(rec)
	select {
	case a.finished <- jobName{string(rec.Kind), rec.VerificationID}:
	default:
	}
}

// announce publishes the names of final jobs until ctx ends.
func (w *Worker) announce(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case job := <-w.finished:
			publishing, cancel := context.WithTimeout(ctx, publishTimeout)
			if err := redisx.PublishFinished(publishing, w.redis, job.kind, job.id); err != nil {
				w.log.Debug().Err(err).Msg("a final job was not announced")
			}
			cancel()
		}
	}
}
