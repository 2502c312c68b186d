package main

import (
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/logx"
)

func addProgressFlag(cmd *cobra.Command, mode *string) {
	cli.ChoiceFlag(cmd, mode, "progress", "how progress is shown on stderr; auto: bar at a terminal, else plain", "auto", "bar", "plain", "json", "none")
}

// progress shows the progress of a step on stderr.
type progress struct {
	app  *app
	mode string // bar, plain, json or none

	mu          sync.Mutex
	bar         *progressbar.ProgressBar
	step, unit  string
	done, total int64
	shown       time.Time
}

func (a *app) newProgress(mode string) *progress {
	switch {
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
	plainEvery = 5 * time.Second
	barEvery   = 100 * time.Millisecond
)

// Begin starts a step.
func (p *progress) Begin(step string, total int64, unit string) {
	p.Clear()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step, p.unit, p.total, p.done, p.shown = step, unit, total, 0, time.Now()
	if p.mode == "bar" {
		p.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(p.app.Err), progressbar.OptionSetDescription(step),
			progressbar.OptionShowBytes(unit == "bytes"), progressbar.OptionShowCount(), progressbar.OptionClearOnFinish(),
			progressbar.OptionThrottle(barEvery), progressbar.OptionSetPredictTime(step != "")) // a watched batch has its own estimate
	}
}

// Add adds n to what is done.
func (p *progress) Add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	switch {
	case p.bar != nil:
		_ = p.bar.Add64(n)
	case p.mode == "none" || time.Since(p.shown) < plainEvery:
	default:
		p.shown = time.Now()
		p.print()
	}
}

func (p *progress) print() {
	if p.mode == "json" {
		_ = cli.WriteLine(p.app.Err, map[string]any{"step": p.step, "done": p.done, "total": p.total, "unit": p.unit})
		return
	}
	share := 100.0
	if p.total > 0 {
		share = 100 * float64(p.done) / float64(p.total)
	}
	p.app.Note("%s: %.0f %% (%d of %d %s)", p.step, share, p.done, p.total, p.unit)
}

// Clear removes the bar from the terminal, so that other text can be printed.
func (p *progress) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
}

// commandLine is the command line that runs the same command again. Secrets are never flags.
func commandLine(cmd *cobra.Command, args []string) string {
	words := []string{cmd.CommandPath()}
	for _, arg := range args {
		words = append(words, quote(arg))
	}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if list, ok := f.Value.(pflag.SliceValue); ok {
			for _, v := range list.GetSlice() {
				words = append(words, "--"+f.Name+"="+quote(v))
			}
			return
		}
		if f.Value.Type() == "bool" && f.Value.String() == "true" {
			words = append(words, "--"+f.Name)
			return
		}
		words = append(words, "--"+f.Name+"="+quote(f.Value.String()))
	})
	return strings.Join(words, " ")
}

// quote quotes a word for a shell.
func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-/:=@,+%", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
