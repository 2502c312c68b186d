// Package cli is what the command lines of kycq and kycq-dev share: standard streams, help, settings, exit codes and the
// serving of HTTP. It contains no command but version.
package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/logx"
	"github.com/kycq/kycq/internal/printable"
)

// Program is one of the binaries.
type Program struct {
	Name            string
	Version, Commit string // stamped by the linker; may be empty
	Root            func(*App) *cobra.Command
}

// Main runs the program on the process's arguments, streams and environment, and exits.
func (p Program) Main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills the process
	redis.SetLogger(discard{})   // go-redis also returns as errors what it logs
	os.Exit(p.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}

// Run runs the program and returns its exit code.
func (p Program) Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, environ []string) int {
	a := &App{Name: p.Name, Build: readBuild(p), In: stdin, Out: stdout, Err: stderr, Environ: environ}
	root := p.Root(a)
	a.configure(root)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !a.started {
		err = UsageError(nearestCommand(root, err)) // cobra did not find the command, or could not parse its flags
		a.JSON = a.JSON || slices.Contains(args, "--json")
	}
	return a.report(ctx, cmd, err)
}

type discard struct{}

func (discard) Printf(context.Context, string, ...any) {}

// App is the context in which commands run.
type App struct {
	Name    string
	Build   Build
	In      io.Reader
	Out     io.Writer
	Err     io.Writer
	Environ []string
	JSON    bool // --json
	Quiet   bool // --quiet
	noColor bool

	started bool // a command's own code is running: its errors are not usage errors of cobra's
}

func (a *App) configure(root *cobra.Command) {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.Version = a.Build.String()
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetUsageFunc(usage)
	root.SetFlagErrorFunc(nearestFlag)
	root.DisableSuggestions, root.SuggestionsMinimumDistance = true, 2 // see nearestCommand
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveDefault)
	root.PersistentFlags().BoolVar(&a.JSON, "json", false, "print answers and errors as JSON")
	root.PersistentFlags().BoolVarP(&a.Quiet, "quiet", "q", false, "print no remarks and no progress")
	root.PersistentFlags().BoolVar(&a.noColor, "no-color", false, "print the console log without colours (as NO_COLOR does)")
	config.AddConfigFlag(root.PersistentFlags())
}

// Command turns fn into a cobra RunE.
func (a *App) Command(fn func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.started = true
		return fn(cmd, args)
	}
}

// Group makes cmd the parent of the children. It does nothing by itself.
func (a *App) Group(cmd *cobra.Command, children ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(children...)
	cmd.Annotations = map[string]string{groupAnnotation: "true"}
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var names []string
		for _, child := range children {
			names = append(names, child.Name())
		}
		choice := strings.Join(names, ", ")
		if len(args) == 0 {
			return Usagef("%s: missing subcommand (%s)", cmd.Name(), choice)
		}
		return Usagef("%s: unknown command %q, want one of %s%s", cmd.Name(), args[0], choice, config.Nearest(args[0], names))
	}
	return cmd
}

const (
	groupAnnotation = "kycq_group"
	areasAnnotation = "kycq_areas"
)

// Uses registers the flags of the areas of settings that a command reads.
func Uses(cmd *cobra.Command, areas ...config.Area) *cobra.Command {
	names := make([]string, len(areas))
	for i, area := range areas {
		names[i] = string(area)
	}
	if cmd.Annotations == nil {
		cmd.Annotations = map[string]string{}
	}
	cmd.Annotations[areasAnnotation] = strings.Join(names, ",")
	config.AddFlags(cmd.Flags(), areas...)
	return cmd
}

// AreasOf returns the areas that were given to Uses.
func AreasOf(cmd *cobra.Command) []config.Area {
	var areas []config.Area
	for name := range strings.SplitSeq(cmd.Annotations[areasAnnotation], ",") {
		if name != "" {
			areas = append(areas, config.Area(name))
		}
	}
	return areas
}

// Settings reads the settings of the command's areas, and of further ones that have no flags there. It prints warnings
// to stderr.
func (a *App) Settings(cmd *cobra.Command, further ...config.Area) (*config.Config, error) {
	cfg, err := config.Load(config.Sources{Environ: a.Environ, Flags: cmd.Flags()}, append(AreasOf(cmd), further...)...)
	if err != nil {
		return nil, err
	}
	for _, warning := range cfg.Warnings() {
		a.Warn(warning)
	}
	return cfg, nil
}

// Logger logs to stderr as the settings say.
func (a *App) Logger(cfg *config.Config) (zerolog.Logger, error) {
	if a.noColor && logx.IsTerminal(a.Err) {
		format := cfg.LogFormat
		if format == "auto" {
			format = "console"
		}
		return logx.New(struct{ io.Writer }{a.Err}, format, cfg.LogLevel) // no terminal: no colours
	}
	return logx.New(a.Err, cfg.LogFormat, cfg.LogLevel)
}

// Warn writes a warning to stderr.
func (a *App) Warn(text string) { a.complain("warning: " + text) }

// complain writes a line after the program's name to stderr.
func (a *App) complain(text string) {
	_, _ = fmt.Fprintf(a.Err, "%s: %s\n", a.Name, printable.Text(text))
}

// Note writes a remark, which is not part of the answer, to stderr, unless --quiet is given.
func (a *App) Note(format string, args ...any) {
	if !a.Quiet {
		_, _ = fmt.Fprintln(a.Err, printable.Text(fmt.Sprintf(format, args...)))
	}
}

// Print writes a part of the answer to stdout.
func (a *App) Print(format string, args ...any) error {
	_, err := io.WriteString(a.Out, printable.Text(fmt.Sprintf(format, args...)))
	return err
}

// Answer prints v as JSON with --json, else text.
func (a *App) Answer(v any, text func() string) error {
	if a.JSON {
		return a.PrintJSON(v)
	}
	return a.Print("%s", text())
}

// Screen returns w, or if it is a terminal a writer to it that makes texts printable.
func Screen(w io.Writer) io.Writer {
	if logx.IsTerminal(w) {
		return printable.Writer(w)
	}
	return w
}

// PrintJSON writes the answer as indented JSON.
func (a *App) PrintJSON(v any) error { return encode(a.Out, v, "  ") }

// PrintLine writes one of several answers as a line of JSON.
func (a *App) PrintLine(v any) error { return WriteLine(a.Out, v) }

// WriteLine is PrintLine to any writer.
func WriteLine(w io.Writer, v any) error { return encode(w, v, "") }

func encode(w io.Writer, v any, indent string) error {
	e := json.NewEncoder(printable.Writer(w))
	e.SetIndent("", indent)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
