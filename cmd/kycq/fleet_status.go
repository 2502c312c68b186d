package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/asynqx"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/logx"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/sleep"
	"github.com/kycq/kycq/tasks"
)

type fleetStatus struct {
	holdStatus
	// Restoring says that Redis is new or has lost data, and no worker has restored the pauses from S3 yet.
	Restoring bool `json:"restoring,omitempty"`
	Workers   int  `json:"workers"` // alive
	// NoWorkers says where and when the last worker was seen if none is alive.
	NoWorkers string       `json:"no_workers,omitempty"`
	Kinds     []kindStatus `json:"kinds"`
}

type kindStatus struct {
	gate.KindStatus
	StoppedSeconds int64                       `json:"stopped_for_seconds"` // rest of the silence after a 429
	BreakerSeconds int64                       `json:"breaker_for_seconds"` // rest of the time that the breaker is open
	Queues         map[tasks.Lane]asynqx.Depth `json:"queues"`
	ETASeconds     int64                       `json:"eta_seconds"` // for the queued jobs, at the present rate
}

func newFleetStatus(a *app) *cobra.Command {
	var watch bool
	cmd := a.command(tolerant(&cobra.Command{
		Use:   "status",
		Short: "show the holds, and rate, queues, 429s and breaker of each kind",
		Long: `status shows for each kind the configured and the effective rate, the calls of the last minute, the waiting jobs of each
lane, the 429s, the circuit breaker, and how long the queued jobs take at the present rate. Batch rows that are not
enqueued yet are not included; see kycq batch status.`,
		Example: "  kycq fleet status\n  kycq fleet status --watch\n  kycq fleet status --json | jq .hold",
		Args:    cobra.NoArgs,
	}), fleetAreas, func(ctx context.Context, d *deps, _ []string) error {
		for {
			st, err := readFleet(ctx, d)
			if err != nil {
				return err
			}
			if err := a.printFleet(st, watch); err != nil || !watch {
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
	kinds, holds, err := d.gate.Status(ctx)
	if err != nil {
		return fleetStatus{}, err
	}
	revision, err := d.gate.Stored(ctx)
	if err != nil {
		return fleetStatus{}, err
	}
	st := fleetStatus{holdStatus: holdStatusOf(holds), Restoring: revision < 0}
	workers, err := redisx.Workers(ctx, d.redis)
	if err != nil {
		return fleetStatus{}, err
	}
	st.Workers, st.NoWorkers = aliveWorkers(workers)
	for _, k := range kinds {
		ks := kindStatus{
			KindStatus: k, Queues: map[tasks.Lane]asynqx.Depth{},
			StoppedSeconds: seconds(k.StoppedFor), BreakerSeconds: seconds(k.BreakerFor),
		}
		var waiting int64
		for _, lane := range tasks.Lanes() {
			depth, err := asynqx.ReadDepth(ctx, d.redis, tasks.Queue(tasks.Kind(k.Kind), lane))
			if err != nil {
				return fleetStatus{}, err
			}
			ks.Queues[lane] = depth
			waiting += depth.Waiting()
		}
		if k.PerMinute > 0 {
			ks.ETASeconds = int64(float64(waiting) / k.PerMinute * 60)
		}
		st.Kinds = append(st.Kinds, ks)
	}
	return st, nil
}

// seconds rounds up: what lasts a moment more is not over.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

const clearScreen = "\x1b[H\x1b[2J"

func (a *app) printFleet(st fleetStatus, watch bool) error {
	if !watch {
		return a.Answer(st, func() string { return describeFleet(st) })
	}
	if a.JSON {
		return a.PrintLine(st)
	}
	return a.Answer(st, func() string {
		if logx.IsTerminal(a.Out) {
			return clearScreen + describeFleet(st)
		}
		return describeFleet(st)
	})
}

// describeFleet formats the status as text.
func describeFleet(st fleetStatus) string {
	lines := []string{"KIND\tRATE\tEFFECTIVE\tLAST MINUTE\tLIVE\tBULK\t429S\tBREAKER\tETA"}
	for _, k := range st.Kinds {
		lines = append(lines, fmt.Sprintf("%s\t%s\t%.1f/m\t%d\t%d\t%d\t%d\t%s\t%s", k.Kind, k.Configured, k.PerMinute, k.LastMinute,
			k.Queues[tasks.Live].Waiting(), k.Queues[tasks.Bulk].Waiting(), k.Limited, describeBreaker(k.KindStatus),
			time.Duration(k.ETASeconds)*time.Second))
	}
	holds := describeHolds(st.Holds)
	if st.Restoring {
		holds = "hold: not known: Redis is new or has lost data; no calls are made until a worker has read the pauses from S3\n"
	}
	workers := st.NoWorkers
	if workers == "" {
		workers = fmt.Sprintf("%d alive", st.Workers)
	}
	return holds + "workers: " + workers + "\n" + cli.Table(lines)
}

func describeBreaker(k gate.KindStatus) string {
	if k.BreakerFor > 0 {
		return fmt.Sprintf("%s for %s", k.Breaker, k.BreakerFor.Round(time.Second))
	}
	return string(k.Breaker)
}
