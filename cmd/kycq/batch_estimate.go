package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/batch/submit"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/tasks"
)

// estimate is what a batch will take, at the present rate.
type estimate struct {
	Calls      int      `json:"calls"`
	PerMinute  float64  `json:"per_minute"`
	Ahead      int      `json:"rows_of_other_batches"`
	Seconds    int64    `json:"seconds"`
	Cost       *float64 `json:"cost,omitempty"`
	HaveRecord *int     `json:"have_record,omitempty"` // rows whose id has a record; of those that are final, none is called
}

// estimate refuses a batch whose images would be gone before their turn.
func (a *app) estimate(ctx context.Context, d *batchDeps, plan *submit.Plan, kind tasks.Kind, f submitFlags) (*estimate, error) {
	rate, hold, err := d.perMinute(ctx, kind)
	if err != nil {
		return nil, err
	}
	if hold != nil {
		a.Note("the fleet is on hold (%s): rows are called once it is resumed", hold.Code)
	}
	ahead, err := d.control.RowsAhead(ctx, kind)
	if err != nil {
		return nil, err
	}
	took := batch.TimeFor(ahead+plan.Rows, rate)
	e := &estimate{Calls: plan.Rows, PerMinute: rate, Ahead: ahead, Seconds: int64(took / time.Second)}
	if f.price > 0 {
		cost := float64(plan.Rows) * f.price
		e.Cost = &cost
	}
	life := d.store.Config().InboxLifecycle
	if plan.Uploads && took > life {
		return nil, cli.Usagef("%d rows, and %d of other batches, at %.1f calls a minute take %s; the inbox keeps images for %s only: split the manifest, or have the rate raised",
			plan.Rows, ahead, rate, longTime(took), longTime(life))
	}
	return e, nil
}

func (e *estimate) text() string {
	var text strings.Builder
	_, _ = fmt.Fprintf(&text, "calls: %d at %.1f a minute", e.Calls, e.PerMinute)
	if e.Ahead > 0 {
		_, _ = fmt.Fprintf(&text, ", beside %d rows of other batches", e.Ahead)
	}
	_, _ = fmt.Fprintf(&text, ": about %s\n", longTime(time.Duration(e.Seconds)*time.Second))
	if e.Cost != nil {
		_, _ = fmt.Fprintf(&text, "cost: %.2f at the given price\n", *e.Cost)
	}
	if e.HaveRecord != nil && *e.HaveRecord > 0 {
		_, _ = fmt.Fprintf(&text, "of these, %d have a record already: where it is final, no call is made\n", *e.HaveRecord)
	}
	return text.String()
}

// dryRun prints what a submit would do.
func (a *app) dryRun(ctx context.Context, d *batchDeps, plan *submit.Plan, sub *submission, f submitFlags) error {
	sub.Status = "checked"
	var err error
	if sub.Estimate, err = a.estimate(ctx, d, plan, sub.Kind, f); err != nil {
		return err
	}
	known, err := plan.Known(ctx, d.store, sub.Kind)
	if err != nil {
		return err
	}
	sub.Estimate.HaveRecord = &known
	if a.JSON {
		err = a.PrintJSON(sub)
	} else {
		err = a.Print("%s", sub.text())
	}
	if err != nil {
		return err
	}
	a.Note("nothing was submitted: this was a dry run")
	if plan.Rejected > 0 && !f.allowRejects {
		return cli.Exit(cli.ExitUsage)
	}
	return nil
}
