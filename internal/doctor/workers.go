package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kycq/kycq/internal/redisx"
)

func checkWorkers(ctx context.Context, r Redis) []Finding {
	const check = "workers"
	workers, err := r.Workers(ctx)
	if err != nil {
		return []Finding{failure(check, Unreachable, "Redis became unreachable: "+err.Error(), "check the Redis server")}
	}
	alive := 0
	for _, w := range workers {
		if w.Alive() {
			alive++
		}
	}
	if alive == 0 {
		return []Finding{warning(check, "no worker is alive: no job is processed", "start one with `kycq worker`; `kycq fleet workers --all` lists those of the last week")}
	}
	lines := []Finding{fine(check, fmt.Sprintf("%d alive", alive))}
	for _, difference := range DifferentSettings(workers) {
		lines = append(lines, warning(check, difference, "give all workers the same settings, and restart them"))
	}
	return lines
}

// DifferentSettings names the settings that workers which are alive do not share.
func DifferentSettings(workers []redisx.Worker) (differences []string) {
	hosts := map[string]map[string][]string{} // by setting and value
	for _, w := range workers {
		if !w.Alive() {
			continue
		}
		for name, value := range w.Settings {
			if hosts[name] == nil {
				hosts[name] = map[string][]string{}
			}
			hosts[name][value] = append(hosts[name][value], fmt.Sprintf("%s (pid %d)", w.Host, w.PID))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		if len(hosts[name]) < 2 {
			continue
		}
		var parts []string
		for _, value := range slices.Sorted(maps.Keys(hosts[name])) {
			parts = append(parts, fmt.Sprintf("%s on %s", value, strings.Join(hosts[name][value], ", ")))
		}
		differences = append(differences, fmt.Sprintf("workers differ in %s: %s", name, strings.Join(parts, "; ")))
	}
	return differences
}
