package main

import (
	"context"
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/logx"
)

// watchFlags are how a batch is watched.
type watchFlags struct {
	exit     bool
	progress string
	every    time.Duration
}

func newBatchWatch(a *app) *cobra.Command {
	var f watchFlags
	cmd := a.batchCommand(&cobra.Command{
		Use:   "watch BATCH",
		Short: "follow a batch to its end",
		Long: `watch shows progress, pace, outcomes, time left and holds until the batch has ended, then prints its status. With --exit
the exit code is 3 where some rows failed. Ending the watching changes nothing.`,
		Example: "  kycq batch watch customers-1f00c3aa\n  kycq batch watch customers-1f00c3aa --exit --json",
		Args:    oneBatch,
	}, func(ctx context.Context, d *batchDeps, args []string) error {
		return a.watchBatch(ctx, d, args[0], f)
	})
	cmd.Flags().BoolVar(&f.exit, "exit", false, "exit with code 3 where some rows failed")
	cmd.Flags().DurationVar(&f.every, "every", 0, "time between two looks; by default 1s at a terminal and 10s elsewhere")
	addProgressFlag(cmd, &f.progress)
	return cmd
}

// watcher follows one batch.
type watcher struct {
	app  *app
	mode string
	bar  *progressbar.ProgressBar

	began time.Time
	first int // rows that had ended when watching began
	last  string
}

func (a *app) watchBatch(ctx context.Context, d *batchDeps, id string, f watchFlags) error {
	if err := checkProgress(f.progress); err != nil {
		return cli.UsageError(err)
	}
	w := &watcher{app: a, mode: f.progress, began: time.Now(), first: -1}
	if w.mode == "auto" {
		w.mode = "plain"
		if logx.IsTerminal(a.Err) {
			w.mode = "bar"
		}
	}
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
	if err == nil && f.exit && st.Outcomes["failed"] > 0 {
		return cli.Exit(cli.ExitSomeFailed)
	}
	return err
}

// settleEvery is between looks while a batch is about to end.
const settleEvery = 500 * time.Millisecond

// follow returns once the batch has ended.
func (w *watcher) follow(ctx context.Context, d *batchDeps, id string, every time.Duration) (*batchStatus, error) {
	defer w.close()
	for {
		st, err := readBatch(ctx, d, id)
		if err != nil {
			return nil, err
		}
		if st.Done {
			return st, nil
		}
		w.pace(st)
		if err := w.show(st); err != nil {
			return nil, err
		}
		wait := every
		if st.Ended == st.Rows {
			wait = min(every, settleEvery)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// paceAfter is how long rows are watched before their pace says more than the rate.
const paceAfter = 20 * time.Second

// pace replaces the rate by what was seen.
func (w *watcher) pace(st *batchStatus) {
	if w.first < 0 || st.Rebuilding {
		w.first, w.began = st.Ended, time.Now()
	}
	seen := time.Since(w.began)
	if seen < paceAfter || st.Ended <= w.first {
		return
	}
	st.PerMinute = float64(st.Ended-w.first) / seen.Minutes()
	st.ETASeconds = int64(batch.TimeFor(st.Rows-st.Ended, st.PerMinute) / time.Second)
}

func (w *watcher) show(st *batchStatus) error {
	switch {
	case w.app.JSON:
		return w.app.PrintLine(st)
	case w.mode == "none":
	case w.mode == "json":
		return w.app.noteJSON(st)
	case w.mode == "bar":
		w.showBar(st)
	default:
		w.showLine(st)
	}
	return nil
}

func (w *watcher) showBar(st *batchStatus) {
	if w.bar == nil {
		w.bar = progressbar.NewOptions(st.Rows, progressbar.OptionSetWriter(w.app.Err), progressbar.OptionShowCount(),
			progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(false))
	}
	w.bar.Describe(describeLine(st))
	_ = w.bar.Set(st.Ended)
}

// showLine says nothing twice.
func (w *watcher) showLine(st *batchStatus) {
	line := fmt.Sprintf("%d of %d: %s", st.Ended, st.Rows, describeLine(st))
	if line != w.last {
		w.last = line
		w.app.Note("%s", line)
	}
}

func describeLine(st *batchStatus) string {
	text := describeOutcomes(st.Status)
	switch {
	case st.Hold != nil:
		text += "; on hold: " + st.Hold.Code + " (" + st.Hold.NextAction + ")"
	case st.State != batch.Running:
		text += "; " + string(st.State)
	case st.Reason != "":
		text += "; waiting: " + st.Reason
	case st.Ended == st.Rows:
		text += "; writing the report"
	default:
		text += fmt.Sprintf("; %.1f a minute, %s left", st.PerMinute, longTime(time.Duration(st.ETASeconds)*time.Second))
	}
	if st.State == batch.CallLimitReached && st.Reason != "" {
		text += " (" + st.Reason + ")"
	}
	return text
}

func (w *watcher) close() {
	if w.bar != nil {
		_ = w.bar.Clear()
	}
}
