package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/wire"
	"github.com/kycq/kycq/tasks"
)

func newBatch(a *app) *cobra.Command {
	return a.Group(&cobra.Command{Use: "batch", Short: "run backfills: a manifest in, a report out"},
		newBatchSubmit(a), newBatchList(a), newBatchStatus(a), newBatchWatch(a), newBatchReport(a), newBatchFailures(a),
		newBatchRetry(a), newBatchCancel(a))
}

// batchDeps is what the batch commands work with.
type batchDeps struct {
	*producer
	control *batch.Control
	gate    *gate.Gate
}

func openBatchDeps(ctx context.Context, cfg *config.Config) (*batchDeps, error) {
	p, err := openProducer(ctx, cfg)
	if err != nil {
		return nil, err
	}
	g, err := wire.OpenGate(p.redis, cfg, zerolog.Nop())
	if err != nil {
		p.Close()
		return nil, err
	}
	return &batchDeps{producer: p, control: batch.NewControl(p.redis, p.store), gate: g}, nil
}

func (d *batchDeps) Close() {
	d.gate.Close()
	d.producer.Close()
}

// perMinute is the present rate of a kind, and the hold where there is one.
func (d *batchDeps) perMinute(ctx context.Context, kind tasks.Kind) (float64, *gate.Hold, error) {
	return batch.Pace(ctx, d.gate, kind)
}

// batchCommand gives fn the batchDeps.
func (a *app) batchCommand(cmd *cobra.Command, fn func(ctx context.Context, d *batchDeps, args []string) error) *cobra.Command {
	cmd.RunE = a.Command(func(cmd *cobra.Command, args []string) error {
		cfg, err := a.Settings(cmd)
		if err != nil {
			return err
		}
		d, err := openBatchDeps(cmd.Context(), cfg)
		if err != nil {
			return err
		}
		defer d.Close()
		return batchError(fn(cmd.Context(), d, args))
	})
	return cli.Uses(cmd, config.Redis, config.S3, config.Sealing, config.Rates)
}

// batchError gives what the user can mend the exit code of usage.
func batchError(err error) error {
	for _, usage := range []error{
		batch.ErrNotFound, batch.ErrOtherManifest, batch.ErrCancelled, batch.ErrStillOpen, batch.ErrDone,
	} {
		if errors.Is(err, usage) {
			return cli.UsageError(err)
		}
	}
	return err
}

// oneBatch checks the argument of a command about one batch.
func oneBatch(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return cli.Usagef("want one batch id (kycq batch list)")
	}
	if err := batch.CheckID(args[0]); err != nil {
		return cli.UsageError(err)
	}
	return nil
}

// longTime shows a duration in days and hours where that reads better.
func longTime(d time.Duration) string {
	if days := d / (24 * time.Hour); days > 0 {
		return fmt.Sprintf("%d d %d h", days, (d%(24*time.Hour))/time.Hour)
	}
	return d.Round(time.Second).String()
}
