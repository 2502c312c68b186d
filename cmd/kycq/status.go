package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/sleep"
)

// overview is what status prints.
type overview struct {
	fleetStatus
	CallsOut int              `json:"calls_in_flight"`
	Failures []endedJobs      `json:"failures_last_day"`
	Paid     paidCalls        `json:"paid_calls"`
	Reviews  int              `json:"reviews_waiting"` // images in quarantine
	Dead     map[string]int64 `json:"dead_letters"`    // archived tasks, by queue
	Webhooks []webhookStatus  `json:"webhooks"`        // endpoints that fail or are stopped
}

// endedJobs are the jobs of a kind, and of a batch if they are rows of one, that ended with a code.
type endedJobs struct {
	Kind  string `json:"kind"`
	Batch string `json:"batch,omitempty"`
	failure
}

// paidCalls counts the calls that were, or may have been, paid for, by kind, of the jobs that ended on a day (UTC).
type paidCalls struct {
	Today     map[string]int `json:"today"`
	Yesterday map[string]int `json:"yesterday"`
}

// overviewEvery is the time between two overviews: each lists the open batches and the quarantine in S3.
const overviewEvery = 2 * time.Second

func newOverview(a *app) *cobra.Command {
	var watch bool
	var patience time.Duration
	cmd := a.batchCommand(tolerant(&cobra.Command{
		Use:   "status",
		Short: "show workers, holds, rates, open batches, failures, reviews, paid calls and dead letters on one screen",
		Long: `status shows the workers that are alive, the holds, the rates and their use, the open batches with their progress and what
blocks them, the paid calls of today and yesterday, the failures of the last day by code with the command for each, the images that wait for a review, and the dead
letters (archived tasks). If Redis has lost data, failures and paid calls are fewer than there were.`,
		Example: "  kycq status\n  kycq status --watch\n  kycq status --json | jq .failures_last_day",
		Args:    cobra.NoArgs,
	}), func(ctx context.Context, d *batchDeps, _ []string) error {
		outage := outage{patience: patience, note: a.Note}
		for {
			o, err := readOverview(ctx, d)
			if watch {
				if err := outage.pass(ctx, err); err != nil {
					return err
				}
			}
			if err == nil {
				err = a.printScreen(o, watch, o.text)
			}
			if !watch {
				return err
			}
			if sleep.For(ctx, overviewEvery) != nil {
				return nil // Ctrl-C ends --watch
			}
		}
	})
	cmd.Flags().BoolVar(&watch, "watch", false, "refresh every 2 seconds until Ctrl-C")
	addPatienceFlag(cmd, &patience)
	return cmd
}

func readOverview(ctx context.Context, d *batchDeps) (*overview, error) {
	fleet, err := d.fleet(ctx)
	if err != nil {
		return nil, err
	}
	o := &overview{Dead: map[string]int64{}, Failures: []endedJobs{}}
	if o.fleetStatus, err = fleetStatusOf(fleet); err != nil {
		return nil, err
	}
	for _, w := range fleet.Workers {
		if w.Alive() {
			o.CallsOut += w.CallsOut
		}
	}
	for queue, depth := range fleet.Queues {
		o.Dead[queue] = depth.Archived
	}
	if o.Batches, err = listBatches(ctx, d.control, fleet, false); err != nil {
		return nil, err
	}
	now := time.Now()
	if o.Paid.Today, err = redisx.ReadPaid(ctx, d.redis, now); err != nil {
		return nil, err
	}
	if o.Paid.Yesterday, err = redisx.ReadPaid(ctx, d.redis, now.AddDate(0, 0, -1)); err != nil {
		return nil, err
	}
	ends, err := redisx.ReadEnds(ctx, d.redis)
	if err != nil {
		return nil, err
	}
	for _, e := range ends {
		o.Failures = append(o.Failures, endedJobs{e.Kind, e.Batch, failureOf(e.Batch, e.Code, e.Count)})
	}
	slices.SortFunc(o.Failures, func(x, y endedJobs) int {
		return cmp.Or(cmp.Compare(y.Count, x.Count), cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Code, y.Code), cmp.Compare(x.Batch, y.Batch))
	})
	endpoints, err := redisx.Endpoints(ctx, d.redis)
	if err != nil {
		return nil, err
	}
	o.Webhooks = brokenEndpoints(endpoints)
	for _, err := range d.store.QuarantinedIDs(ctx) {
		if err != nil {
			return nil, err
		}
		o.Reviews++
	}
	return o, nil
}

// shownFailures keeps the overview on one screen. The JSON has all.
const shownFailures = 8

func (o *overview) text() string {
	var text strings.Builder
	text.WriteString(describeFleet(o.fleetStatus))
	_, _ = fmt.Fprintf(&text, "calls in flight: %d\npaid calls: yesterday %s; today %s (UTC)\n\n", o.CallsOut, paidText(o.Paid.Yesterday), paidText(o.Paid.Today))
	if len(o.Batches) == 0 {
		text.WriteString("no open batches\n")
	} else {
		text.WriteString(progressTable(o.Batches) + blockedBatches(o.Batches))
	}
	text.WriteString("\nfailures of the last 24 hours (counted in Redis; batch failures reads the records):")
	if len(o.Failures) == 0 {
		text.WriteString(" none\n")
	} else {
		text.WriteString("\n")
	}
	for i, f := range o.Failures {
		if i == shownFailures {
			_, _ = fmt.Fprintf(&text, "  and %d further lines: kycq status --json\n", len(o.Failures)-i)
			break
		}
		_, _ = fmt.Fprintf(&text, "  %6d  %s %s: %s\n          run: %s\n", f.Count, f.Kind, f.Code, f.NextAction, f.Command)
	}
	text.WriteString("\nreviews waiting: ")
	if o.Reviews > 0 {
		_, _ = fmt.Fprintf(&text, "%s in quarantine: kycq review list\n", count(o.Reviews, "image"))
	} else {
		text.WriteString("none\n")
	}
	var dead int64
	for _, n := range o.Dead {
		dead += n
	}
	_, _ = fmt.Fprintf(&text, "dead letters: %d\n", dead)
	for _, w := range o.Webhooks {
		text.WriteString(w.text())
	}
	return text.String()
}

// paidText is "12 aadhaar, 300 passport", or "none".
func paidText(paid map[string]int) string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(paid)) {
		parts = append(parts, fmt.Sprintf("%d %s", paid[kind], kind))
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}

// progressTable lists open batches with their progress.
func progressTable(list []*batchStatus) string {
	lines := []string{"BATCH\tKIND\tSTATE\tENDED\tOUTCOMES\tETA"}
	for _, s := range list {
		eta := "-"
		if s.Moving() {
			eta = s.eta()
		}
		state := string(s.State)
		if s.Blocked != nil && s.State == batch.Running {
			state = "blocked"
		}
		lines = append(lines, fmt.Sprintf("%s\t%s\t%s\t%d of %d\t%s\t%s", s.Batch, s.Kind, state, s.Ended, s.Rows, outcomesText(s.Status), eta))
	}
	return cli.Table(lines)
}
