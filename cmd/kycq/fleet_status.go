package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/asynqx"
	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/blocked"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/logx"
	"github.com/kycq/kycq/internal/sleep"
	"github.com/kycq/kycq/tasks"
)

type fleetStatus struct {
	holdStatus
	// Restoring says that Redis is new or has lost data, and no worker has restored the pauses from S3 yet.
	Restoring bool         `json:"restoring,omitempty"`
	Workers   int          `json:"workers"` // alive
	Kinds     []kindStatus `json:"kinds"`
	// FeedBlocked says that the queue that feeds all batches was paused by hand.
	FeedBlocked *blocked.Reason `json:"feed_blocked,omitempty"`
	// Batches are those that are open, of fleet status only those that are blocked by a cause of their own.
	Batches []*batchStatus `json:"batches"`

	otherRates []string
}

type kindStatus struct {
	gate.KindStatus
	Configured     string                      `json:"configured"`          // by the workers' settings
	StoppedSeconds int64                       `json:"stopped_for_seconds"` // rest of the silence after a 429
	BreakerSeconds int64                       `json:"breaker_for_seconds"` // rest of the time that the breaker is open
	Queues         map[tasks.Lane]asynqx.Depth `json:"queues"`
	Blocked        *blocked.Reason             `json:"blocked,omitempty"`
	// ETASeconds is for the queued jobs, at the present rate. It is absent while the kind is blocked.
	ETASeconds int64 `json:"eta_seconds,omitempty"`
}

func newFleetStatus(a *app) *cobra.Command {
	var watch bool
	cmd := a.command(tolerant(&cobra.Command{
		Use:   "status",
		Short: "show the holds, and rate, queues, 429s and breaker of each kind",
		Long: `status shows for each kind the configured and the effective rate, the calls of the last minute, the waiting jobs of each
lane, the 429s, the circuit breaker, how long the queued jobs take at the present rate, and what blocks the calls. Batch rows
that are not enqueued yet are not included; see kycq batch status.`,
		Example: "  kycq fleet status\n  kycq fleet status --watch\n  kycq fleet status --json | jq .hold",
		Args:    cobra.NoArgs,
	}), fleetAreas, func(ctx context.Context, d *deps, _ []string) error {
		for {
			st, err := readFleet(ctx, d)
			if err != nil {
				return err
			}
			if err := a.printScreen(st, watch, func() string { return describeFleet(st) + blockedBatches(st.Batches) }); err != nil || !watch {
				return err
			}
			if sleep.For(ctx, time.Second) != nil {
				return nil // Ctrl-C ends --watch
			}
		}
	})
	cmd.Flags().BoolVar(&watch, "watch", false, "refresh every second until Ctrl-C")
	return cmd
}

func readFleet(ctx context.Context, d *deps) (fleetStatus, error) {
	fleet, err := d.fleet(ctx)
	if err != nil {
		return fleetStatus{}, err
	}
	st, err := fleetStatusOf(fleet)
	if err != nil {
		return fleetStatus{}, err
	}
	st.otherRates = fleet.OtherRates(d.ownRates())
	// Without S3, the batches are missing.
	batches, _ := listBatches(ctx, batch.NewControl(d.redis, d.store), fleet, false)
	st.Batches = slices.DeleteFunc(batches, func(s *batchStatus) bool {
		return s == nil || s.Blocked == nil || !slices.Contains([]string{blocked.CallLimit, blocked.BatchPause, blocked.KeyMissing, blocked.RedisFull}, s.Blocked.Cause)
	})
	return st, nil
}

func fleetStatusOf(fleet *blocked.Fleet) (fleetStatus, error) {
	st := fleetStatus{holdStatus: holdStatusOf(fleet.Holds), Restoring: fleet.Restoring, Workers: fleet.Alive(), FeedBlocked: fleet.Feed()}
	for _, k := range fleet.Kinds {
		ks := kindStatus{
			KindStatus: k, Queues: map[tasks.Lane]asynqx.Depth{}, Configured: fleet.Configured(k),
			StoppedSeconds: seconds(k.StoppedFor), BreakerSeconds: seconds(k.BreakerFor),
		}
		var err error
		if ks.Blocked, err = fleet.Kind(tasks.Kind(k.Kind)); err != nil {
			return st, err
		}
		var waiting int64
		for _, lane := range tasks.Lanes() {
			ks.Queues[lane] = fleet.Queues[tasks.Queue(tasks.Kind(k.Kind), lane)]
			waiting += ks.Queues[lane].Waiting()
		}
		if ks.Blocked == nil && k.PerMinute > 0 {
			ks.ETASeconds = int64(float64(waiting) / k.PerMinute * 60)
		}
		st.Kinds = append(st.Kinds, ks)
	}
	return st, nil
}

// seconds rounds up: what lasts a moment more is not over.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

const clearScreen = "\x1b[H\x1b[2J"

// printScreen prints an answer that is refreshed with watch.
func (a *app) printScreen(v any, watch bool, text func() string) error {
	if a.JSON && watch {
		return a.PrintLine(v)
	}
	if watch && logx.IsTerminal(a.Out) && !a.JSON {
		_, _ = io.WriteString(a.Out, clearScreen)
	}
	return a.Answer(v, text)
}

// describeFleet formats the status as text.
func describeFleet(st fleetStatus) string {
	lines := []string{"KIND\tRATE\tEFFECTIVE\tLAST MINUTE\tLIVE\tBULK\t429S\tBREAKER\tQUEUE ETA"}
	for _, k := range st.Kinds {
		eta := "-"
		if k.Blocked == nil {
			eta = (time.Duration(k.ETASeconds) * time.Second).String()
		}
		lines = append(lines, fmt.Sprintf("%s\t%s\t%.1f/m\t%d\t%d\t%d\t%d\t%s\t%s", k.Kind, k.Limit(), k.PerMinute, k.LastMinute,
			k.Queues[tasks.Live].Waiting(), k.Queues[tasks.Bulk].Waiting(), k.Limited, describeBreaker(k.KindStatus),
			eta))
	}
	holds := describeHolds(st.Holds)
	if st.Restoring {
		holds = "hold: not known: Redis is new or has lost data; no calls are made until a worker has read the pauses from S3\n"
	}
	text := holds + fmt.Sprintf("workers: %d alive\n", st.Workers) + cli.Table(lines) + setRates(st.Kinds)
	for _, other := range st.otherRates {
		text += other + "\n"
	}
	text += blockedKinds(st.Kinds)
	if st.FeedBlocked != nil {
		text += "batches " + st.FeedBlocked.Line() + "\n"
	}
	return text
}

// setRates has a line for each kind whose rate was set for the fleet.
func setRates(kinds []kindStatus) (text string) {
	for _, k := range kinds {
		if k.Set != nil {
			text += fmt.Sprintf("%s rate: %s, set by %s at %s; configured: %s (kycq fleet rate %s --reset)\n", k.Kind, k.Set.Rate, k.Set.By, stamp(k.Set.At), k.Configured, k.Kind)
		}
	}
	return text
}

// blockedKinds has a line for each blocked kind, or one if all are blocked by the same.
func blockedKinds(kinds []kindStatus) (text string) {
	var lines []string
	for _, k := range kinds {
		if k.Blocked != nil {
			lines = append(lines, k.Blocked.Line())
		}
	}
	if len(lines) == len(kinds) && len(slices.Compact(slices.Clone(lines))) == 1 {
		return lines[0] + "\n"
	}
	for _, k := range kinds {
		if k.Blocked != nil {
			text += k.Kind + " " + k.Blocked.Line() + "\n"
		}
	}
	return text
}

func describeBreaker(k gate.KindStatus) string {
	if k.BreakerFor > 0 {
		return fmt.Sprintf("%s for %s", k.Breaker, k.BreakerFor.Round(time.Second))
	}
	return string(k.Breaker)
}
