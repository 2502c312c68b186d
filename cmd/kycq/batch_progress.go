package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kycq/kycq/internal/logx"
)

var progressModes = []string{"auto", "bar", "plain", "json", "none"}

func addProgressFlag(cmd *cobra.Command, mode *string) {
	cmd.Flags().StringVar(mode, "progress", "auto", "how progress is shown on stderr: auto (bar at a terminal, else plain), bar, plain, json, none")
	_ = cmd.RegisterFlagCompletionFunc("progress", cobra.FixedCompletions(progressModes, cobra.ShellCompDirectiveNoFileComp))
}

func checkProgress(mode string) error {
	if !slices.Contains(progressModes, mode) {
		return fmt.Errorf("--progress: choose one of %s", strings.Join(progressModes, ", "))
	}
	return nil
}

// progressMode checks a mode and resolves auto.
func (a *app) progressMode(mode string) (string, error) {
	if mode != "auto" {
		return mode, checkProgress(mode)
	}
	if logx.IsTerminal(a.Err) {
		return "bar", nil
	}
	return "plain", nil
}

// progress shows the progress of a step on stderr.
type progress struct {
	app  *app
	mode string

	mu          sync.Mutex
	bar         *progressbar.ProgressBar
	step, unit  string
	done, total int64
	shown       time.Time
}

func (a *app) newProgress(mode string) (*progress, error) {
	mode, err := a.progressMode(mode)
	return &progress{app: a, mode: mode}, err
}

// Lines go to logs, so they are written less often than the bar.
const (
	plainEvery = 5 * time.Second
	barEvery   = 100 * time.Millisecond
)

// Begin starts a step.
func (p *progress) Begin(step string, total int64, unit string) {
	p.Pause()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step, p.unit, p.total, p.done, p.shown = step, unit, total, 0, time.Now()
	if p.mode == "bar" {
		p.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(p.app.Err), progressbar.OptionSetDescription(step),
			progressbar.OptionShowBytes(unit == "bytes"), progressbar.OptionShowCount(), progressbar.OptionClearOnFinish(),
			progressbar.OptionThrottle(barEvery))
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
		line, _ := json.Marshal(map[string]any{"step": p.step, "done": p.done, "total": p.total, "unit": p.unit})
		p.app.Note("%s", line)
		return
	}
	share := 100.0
	if p.total > 0 {
		share = 100 * float64(p.done) / float64(p.total)
	}
	p.app.Note("%s: %.0f %% (%d of %d %s)", p.step, share, p.done, p.total, p.unit)
}

// Pause removes the bar from the terminal, so that something else can be printed.
func (p *progress) Pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
}

// Close removes the bar.
func (p *progress) Close() { p.Pause() }

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

// noteJSON writes a line of JSON to stderr.
func (a *app) noteJSON(v any) error {
	e := json.NewEncoder(a.Err)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
