package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// maxUnstored is how many paid answers of a kind may wait for their images or for S3. Further calls of the kind might be paid
// for in vain, so it is on hold until some are stored.
const maxUnstored = 20

// unstoredReasons are the codes with which a job waits whose answer could not be stored.
var unstoredReasons = []string{"image_not_fetched", linkRefused, "storage_unreachable", hold.Denied, "mask_check_unreachable", "input_not_reachable"}

// countUnstored counts a job that waits with a paid answer after the fetch of its image, or a write to S3, failed. If it
// cannot be counted, the next try does it.
func (d *delivery) countUnstored(ctx context.Context, v Verdict) {
	paid := d.answer != nil && d.answer.paid() || d.rec != nil && d.rec.State == storage.StateAnswered
	if !paid || v.Decision != Later || !slices.Contains(unstoredReasons, v.Reason) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishPatience)
	defer cancel()
	text, h := advice.For(v.Reason), unstoredHold(d.job.Kind, d.job.VerificationID)
	h.Code, h.By = v.Reason, "worker"
	h.Reason = fmt.Sprintf("%d paid answers wait to be stored: %s", maxUnstored, text.Message)
	if v.Reason == hold.Denied {
		h.Reason = "a paid answer waits to be stored: " + text.Message
	}
	h.NextAction = text.NextAction + "; the calls go on by themselves when answers are stored"
	raised, err := d.Gate.AddUnstored(ctx, h, maxUnstored)
	if err != nil {
		d.log.Error().Err(err).Msg("a paid answer that is not stored was not counted")
	}
	if raised {
		d.log.Error().Str("cause", h.Cause).Str("code", h.Code).Str("next_action", h.NextAction).Msg("calls are on hold: " + h.Reason)
		d.Observer.Held(h.Code)
		d.OnHold(ctx)
	}
}

func unstoredHold(kind tasks.Kind, id string) hold.Hold {
	return hold.Hold{Cause: hold.Storage, Kind: string(kind), Job: id, JobKind: string(kind)}
}

// stored ends the count of a job whose answer does not wait any more.
func (p *Processor) stored(ctx context.Context, kind tasks.Kind, id string) error {
	lifted, err := p.Gate.DropUnstored(ctx, unstoredHold(kind, id), maxUnstored)
	if lifted {
		p.Log.Info().Str("kind", string(kind)).Msg("answers are stored again: the calls go on")
		p.OnHold(ctx)
	}
	return err
}

// storeWaiting tries again to store the answers that wait, since no task does while the queues are paused. It corrects the
// count, which is wrong after Redis has lost data.
func (s *Sweeper) storeWaiting(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	var errs []error
	for _, kind := range tasks.Kinds() {
		ids, err := s.Processor.Gate.Unstored(ctx, string(kind))
		var group errgroup.Group
		group.SetLimit(sweepParallel)
		for _, id := range append(ids, "") { // the empty id lifts a hold without jobs
			group.Go(func() error { return s.storeOne(ctx, kind, id) })
		}
		errs = append(errs, err, group.Wait())
	}
	return errors.Join(errs...)
}

func (s *Sweeper) storeOne(ctx context.Context, kind tasks.Kind, id string) error {
	if id == "" {
		return s.Processor.stored(ctx, kind, id)
	}
	rec, _, err := s.Ledger.Record(ctx, kind, id)
	switch {
	case err != nil && !errors.Is(err, storage.ErrNotFound):
		return err
	case err != nil, rec.State == storage.StateQueued, rec.State == storage.StateWaiting:
		return s.Processor.stored(ctx, kind, id)
	}
	s.Finish(ctx, rec.JobSpec)
	return nil
}
