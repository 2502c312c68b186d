package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/logx"
	"github.com/kycq/kycq/internal/printable"
)

func addProgressFlag(cmd *cobra.Command, mode *string) {
	cli.ChoiceFlag(cmd, mode, "progress", "how progress is shown on stderr; auto: bar at a terminal, else plain", "auto", "bar", "plain", "json", "none")
}

// progress shows the progress of a step on stderr.
type progress struct {
	app  *app
	mode string // bar, plain, json or none

	mu          sync.Mutex
	drawn       bool // the bar is on the terminal's last line
	step, unit  string
	done, total int64
	shown       time.Time
}

func (a *app) newProgress(mode string) *progress {
	switch {
	case a.Quiet:
		mode = "none"
	case mode != "auto":
	case logx.IsTerminal(a.Err):
		mode = "bar"
	default:
		mode = "plain"
	}
	return &progress{app: a, mode: mode}
}

// Lines end up in logs, so they are written less often than the bar is redrawn.
const (
	plainEvery = 10 * time.Second
	barEvery   = 100 * time.Millisecond
)

// Begin starts a step.
func (p *progress) Begin(step string, total int64, unit string) {
	p.Clear()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step, p.unit, p.total, p.done, p.shown = step, unit, total, 0, time.Now()
}

// Add adds n to what is done.
func (p *progress) Add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	every := plainEvery
	if p.mode == "bar" {
		every = barEvery
	}
	if time.Since(p.shown) >= every {
		p.shown = time.Now()
		p.print()
	}
}

func (p *progress) print() {
	if p.mode == "json" {
		_ = cli.WriteLine(p.app.Err, map[string]any{"step": p.step, "done": p.done, "total": p.total, "unit": p.unit})
		return
	}
	p.show(p.done, p.total, fmt.Sprintf("%s: %.0f %% (%d of %d %s)", p.step, 100*share(p.done, p.total), p.done, p.total, p.unit))
}

func share(done, total int64) float64 {
	if total <= 0 {
		return 1
	}
	return float64(done) / float64(total)
}

// Show shows the first of texts, or at a terminal the first that fits into a line.
func (p *progress) Show(done, total int64, texts ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.show(done, total, texts...)
}

func (p *progress) show(done, total int64, texts ...string) {
	switch p.mode {
	case "plain":
		p.app.Note("%s", texts[0])
	case "bar":
		_, _ = fmt.Fprintf(p.app.Err, "\r%s\x1b[K", printable.Text(barLine(logx.Width(p.app.Err), share(done, total), texts...)))
		p.drawn = true
	}
}

// barLine is the first of texts that fits into a line, or the beginning of the last. If there is room, it has a bar. A line as
// wide as the terminal would not be redrawn in place.
func barLine(columns int, share float64, texts ...string) string {
	const bar = 10
	if columns <= 0 {
		columns = 80
	}
	for _, text := range texts {
		switch free := columns - 1 - len([]rune(text)); {
		case free >= bar+3:
			full := int(share * bar)
			return "[" + strings.Repeat("#", full) + strings.Repeat("-", bar-full) + "] " + text
		case free >= 0:
			return text
		}
	}
	last := []rune(texts[len(texts)-1])
	return string(last[:min(len(last), max(columns-1, 0))])
}

// Clear ends the line of the bar, so that other text can be printed.
func (p *progress) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn {
		_, _ = fmt.Fprintln(p.app.Err)
		p.drawn = false
	}
}
