package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/blocked"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/doctor"
	"github.com/kycq/kycq/internal/redisx"
)

// workerStatus is a worker in the answer of fleet workers.
type workerStatus struct {
	redisx.Worker
	Alive          bool  `json:"alive"`
	SeenAgoSeconds int64 `json:"seen_ago_seconds"`
}

func newFleetWorkers(a *app) *cobra.Command {
	var all bool
	cmd := a.command(tolerant(&cobra.Command{
		Use:   "workers",
		Short: "list the workers",
		Long: `workers lists the workers that are alive, and those of the last week that are not with --all: a worker that was not stopped
but is not seen any more has crashed or lost Redis. Each worker writes a heartbeat to Redis every second.`,
		Example: "  kycq fleet workers\n  kycq fleet workers --all --json | jq '.workers[] | select(.alive | not)'",
		Args:    cobra.NoArgs,
	}), fleetAreas, func(ctx context.Context, d *deps, _ []string) error {
		workers, err := redisx.Workers(ctx, d.redis)
		if err != nil {
			return err
		}
		for _, difference := range doctor.DifferentSettings(workers) {
			a.Warn(difference)
		}
		list := []workerStatus{}
		for _, w := range workers {
			if all || w.Alive() {
				list = append(list, workerStatus{Worker: w, Alive: w.Alive(), SeenAgoSeconds: int64(w.SeenAgo / time.Second)})
			}
		}
		if r := blocked.OfWorkers(workers); r != nil {
			a.Note("%s", r)
		}
		return a.Answer(map[string]any{"workers": list}, func() string { return workerTable(list) })
	})
	cmd.Flags().BoolVar(&all, "all", false, "also list the workers of the last week that are not alive")
	return cmd
}

func workerTable(list []workerStatus) string {
	if len(list) == 0 {
		return ""
	}
	lines := []string{"HOST\tPID\tVERSION\tSINCE\tSEEN\tCALLS\tCONCURRENCY"}
	for _, w := range list {
		seen := fmt.Sprintf("%s ago", w.SeenAgo.Truncate(time.Second))
		if w.Stopped {
			seen = "stopped " + seen
		}
		concurrency := make([]string, 0, len(w.Concurrency))
		for _, queue := range slices.Sorted(maps.Keys(w.Concurrency)) {
			concurrency = append(concurrency, fmt.Sprintf("%s %d", queue, w.Concurrency[queue]))
		}
		lines = append(lines, fmt.Sprintf("%s\t%d\t%s\t%s\t%s\t%d\t%s", w.Host, w.PID, w.Version, stamp(w.Since), seen, w.CallsOut,
			strings.Join(concurrency, ", ")))
	}
	return cli.Table(lines)
}
