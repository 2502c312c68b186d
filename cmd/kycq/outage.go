package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/sleep"
)

func addPatienceFlag(cmd *cobra.Command, patience *time.Duration) {
	cmd.Flags().DurationVar(patience, "give-up-after", 10*time.Minute, "how long to wait while Redis or S3 cannot be reached; 0: forever")
}

// outage lets a command wait while Redis or S3 cannot be reached.
type outage struct {
	patience time.Duration // 0: without end
	note     func(format string, args ...any)
	since    time.Time // zero: there is none
}

// pass returns nil if err is nil or that of an outage which is not over patience; it notes where an outage begins and ends.
func (o *outage) pass(ctx context.Context, err error) error {
	switch {
	case err == nil && !o.since.IsZero():
		o.note("reachable again, after %s", sleep.Elapsed(o.since).Round(time.Second))
		o.since = time.Time{}
		return nil
	case err == nil, ctx.Err() != nil, !cli.Unreachable(err):
		return err
	case o.since.IsZero():
		o.since = time.Now()
		until := "until it can be reached"
		if o.patience > 0 {
			until = fmt.Sprintf("for at most %s (--give-up-after)", o.patience)
		}
		o.note("%v; waiting %s. Jobs are not lost", err, until)
	case o.patience > 0 && sleep.Elapsed(o.since) >= o.patience:
		return fmt.Errorf("gave up after %s (--give-up-after): %w", o.patience, err)
	}
	return nil
}
