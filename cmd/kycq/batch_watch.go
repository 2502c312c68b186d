package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/sleep"
)

// watchFlags are the flags of batch watch.
type watchFlags struct {
	exit            bool
	progress        string
	every, patience time.Duration
}

func newBatchWatch(a *app) *cobra.Command {
	var f watchFlags
	cmd := a.batchCommand(tolerant(&cobra.Command{
		Use:   "watch BATCH",
		Short: "follow a batch until it ends",
		Long: `watch shows progress, pace, outcomes, time left and what blocks the batch until it has ended, then prints its status. With
--exit the exit code is 3 unless all rows are valid. It waits while Redis or S3 cannot be reached, and exits with 6 after
--give-up-after. Stopping the watch does not affect the batch.`,
		Example: "  kycq batch watch customers-1f00c3aa\n  kycq batch watch customers-1f00c3aa --exit --json",
		Args:    oneBatch,
	}), func(ctx context.Context, d *batchDeps, args []string) error {
		return a.watchBatch(ctx, d, args[0], f)
	})
	cmd.Flags().BoolVar(&f.exit, "exit", false, "exit with code 3 unless all rows are valid")
	cmd.Flags().DurationVar(&f.every, "every", 0, "time between updates; by default 1s at a terminal and 10s elsewhere")
	addPatienceFlag(cmd, &f.patience)
	addProgressFlag(cmd, &f.progress)
	return cmd
}

// watcher follows one batch.
type watcher struct {
	*progress
	outage  *outage
	every   time.Duration // between lines; what blocks the batch is looked for each second
	plain   bool          // a line is printed, not redrawn
	shown   time.Time
	blocked string // the reason that was printed last
}

func (a *app) watchBatch(ctx context.Context, d *batchDeps, id string, f watchFlags) error {
	w := &watcher{progress: a.newProgress(f.progress)}
	w.outage = &outage{patience: f.patience, note: w.note}
	w.every, w.plain = f.every, w.mode == "plain" && !a.JSON
	if w.every <= 0 {
		w.every = time.Second
		if w.plain {
			w.every = plainEvery
		}
	}
	st, err := w.follow(ctx, d, id)
	if err != nil {
		return a.interrupted(ctx, err, "kycq batch watch "+id)
	}
	if a.JSON {
		err = a.PrintLine(st)
	} else {
		err = a.Print("%s", st.text())
	}
	if err == nil && f.exit && st.Outcomes["valid"] < st.Ended {
		return cli.Exit(cli.ExitSomeFailed)
	}
	return err
}

// endingEvery is the time between updates while the report is being written.
const endingEvery = 500 * time.Millisecond

// outageEvery is the time between attempts in an outage: at a slower pace --give-up-after would end late.
const outageEvery = time.Second

// follow returns the status when the batch is done.
func (w *watcher) follow(ctx context.Context, d *batchDeps, id string) (*batchStatus, error) {
	defer w.Clear()
	for {
		st, err := readBatch(ctx, d, id)
		if err := w.outage.pass(ctx, err); err != nil {
			return nil, err
		}
		wait := w.every
		if w.plain {
			wait = min(w.every, time.Second)
		}
		if err != nil {
			wait = min(wait, outageEvery)
		} else {
			if st.Done {
				return st, nil
			}
			if err := w.show(st); err != nil {
				return nil, err
			}
			if st.Ended == st.Rows {
				wait = min(wait, endingEvery)
			}
		}
		if err := sleep.For(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// note prints a message on a line of its own.
func (w *watcher) note(format string, args ...any) {
	w.Clear()
	w.app.Note(format, args...)
}

func (w *watcher) show(st *batchStatus) error {
	switch {
	case w.app.JSON:
		return w.app.PrintLine(st)
	case w.mode == "json":
		return cli.WriteLine(w.app.Err, st)
	case w.mode == "none":
		return nil
	}
	reason := ""
	if st.Blocked != nil {
		reason = st.Blocked.Message
		if reason != w.blocked {
			w.note("%s", st.Blocked.Line())
		}
	}
	w.blocked = reason
	if w.plain && time.Since(w.shown) < w.every {
		return nil
	}
	w.shown = time.Now()
	w.Show(int64(st.Ended), int64(st.Rows), progressLines(st)...)
	return nil
}

// progressLines is the progress in one line, and shorter forms of it for narrow terminals.
func progressLines(st *batchStatus) []string {
	begin, outcomes := fmt.Sprintf("%d of %d", st.Ended, st.Rows), outcomesText(st.Status)
	end, short := st.stateText(), st.stateText()
	switch {
	case st.Blocked != nil:
		end, short = "blocked: "+st.Blocked.Message, "blocked"
	case st.Ended == st.Rows:
		end, short = "writing the report", "writing the report"
	case st.Moving():
		end, short = fmt.Sprintf("%.1f a minute, %s left", st.PerMinute, st.eta()), st.eta()+" left"
	case st.State == batch.Running && st.Rebuilding:
		end, short = "restoring the progress", "restoring"
	}
	return []string{begin + ": " + outcomes + "; " + end, begin + ": " + outcomes + "; " + short, begin + "; " + short}
}
