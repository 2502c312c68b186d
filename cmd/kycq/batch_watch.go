package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/logx"
	"github.com/kycq/kycq/internal/sleep"
)

// watchFlags are the flags of batch watch.
type watchFlags struct {
	exit     bool
	progress string
	every    time.Duration
}

func newBatchWatch(a *app) *cobra.Command {
	var f watchFlags
	cmd := a.batchCommand(tolerant(&cobra.Command{
		Use:   "watch BATCH",
		Short: "follow a batch until it ends",
		Long: `watch shows progress, pace, outcomes, time left and holds until the batch has ended, then prints its status. With --exit
the exit code is 3 unless all rows are valid. Stopping the watch does not affect the batch.`,
		Example: "  kycq batch watch customers-1f00c3aa\n  kycq batch watch customers-1f00c3aa --exit --json",
		Args:    oneBatch,
	}), func(ctx context.Context, d *batchDeps, args []string) error {
		return a.watchBatch(ctx, d, args[0], f)
	})
	cmd.Flags().BoolVar(&f.exit, "exit", false, "exit with code 3 unless all rows are valid")
	cmd.Flags().DurationVar(&f.every, "every", 0, "time between updates; by default 1s at a terminal and 10s elsewhere")
	addProgressFlag(cmd, &f.progress)
	return cmd
}

// watcher follows one batch.
type watcher struct {
	*progress
	began        time.Time
	endedAtBegin int
	line, notice string // printed last
}

func (a *app) watchBatch(ctx context.Context, d *batchDeps, id string, f watchFlags) error {
	w := &watcher{progress: a.newProgress(f.progress), endedAtBegin: -1}
	every := f.every
	if every <= 0 {
		every = 10 * time.Second
		if w.mode == "bar" || w.mode == "json" || a.JSON {
			every = time.Second
		}
	}
	st, err := w.follow(ctx, d, id, every)
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

// follow returns the status when the batch is done.
func (w *watcher) follow(ctx context.Context, d *batchDeps, id string, every time.Duration) (*batchStatus, error) {
	defer w.Clear()
	for {
		st, err := readBatch(ctx, d, id)
		if err != nil {
			return nil, err
		}
		if st.Done {
			return st, nil
		}
		w.measure(st)
		if err := w.show(st); err != nil {
			return nil, err
		}
		wait := every
		if st.Ended == st.Rows {
			wait = min(every, endingEvery)
		}
		if err := sleep.For(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// measureAfter is how long the pace is measured before it replaces the rate of the fleet.
const measureAfter = 20 * time.Second

func (w *watcher) measure(st *batchStatus) {
	if w.endedAtBegin < 0 || st.Rebuilding {
		w.endedAtBegin, w.began = st.Ended, time.Now()
	}
	if watched := time.Since(w.began); watched >= measureAfter && st.Ended > w.endedAtBegin {
		st.setPace(float64(st.Ended-w.endedAtBegin) / watched.Minutes())
	}
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
	w.showNotice(st)
	if w.mode == "bar" {
		if w.bar == nil {
			w.Begin("", int64(st.Rows), "rows")
		}
		w.bar.Describe(fitBar(progressLine(st), st.Rows, logx.Width(w.app.Err)))
		return w.bar.Set(st.Ended)
	}
	if line := fmt.Sprintf("%d of %d: %s", st.Ended, st.Rows, progressLine(st)); line != w.line {
		w.line = line
		w.app.Note("%s", line)
	}
	return nil
}

// showNotice prints a line if the operator has to act: for a hold, again when its duration has changed by a minute, and for a
// call limit that was reached.
func (w *watcher) showNotice(st *batchStatus) {
	line := ""
	switch {
	case st.Hold != nil:
		line = holdLines(st.Holds)
	case st.State == batch.CallLimitReached:
		line = st.stateText()
	}
	if line != w.notice && line != "" {
		w.Clear()
		w.app.Note("%s", line)
	}
	w.notice = line
}

// fitBar shortens the text beside the bar, since a bar that is wider than the terminal is not redrawn in place.
func fitBar(text string, rows, columns int) string {
	counts := len(fmt.Sprintf(" 100%% || (%d/%d) ", rows, rows))
	if free := columns - counts; columns > 0 && len(text) > free {
		return text[:max(0, free-3)] + "..."
	}
	return text
}

func progressLine(st *batchStatus) string {
	text := outcomesText(st.Status)
	switch {
	case st.Hold != nil:
		return text + "; on hold"
	case st.State == batch.CallLimitReached:
		return text + "; call limit reached"
	case st.State != batch.Running, st.Reason != "":
		return text + "; " + st.stateText()
	case st.Ended == st.Rows:
		return text + "; writing the report"
	}
	return fmt.Sprintf("%s; %.1f a minute, %s left", text, st.PerMinute, st.eta())
}
