package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/logx"
)

// app is what the commands share: the process' ends, and the flags that stand on the root.
type app struct {
	in       io.Reader
	out, err io.Writer
	environ  []string

	json    bool
	started bool // a command's own code has begun: from then on an error is not one of usage
}

// command turns fn into a cobra RunE.
func (a *app) command(fn func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.started = true
		return fn(cmd, args)
	}
}

// group makes a command that only holds others.
func (a *app) group(cmd *cobra.Command, children ...*cobra.Command) *cobra.Command {
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
			return usagef("%s: which one? %s (see %s --help)", cmd.Name(), choice, cmd.CommandPath())
		}
		return usagef("%s: unknown command %q: use one of %s", cmd.Name(), args[0], choice)
	}
	return cmd
}

const (
	groupAnnotation = "kycq_group"
	areasAnnotation = "kycq_areas"
)

// uses registers the flags of the areas of settings that a command needs, and notes them for the documentation.
func uses(cmd *cobra.Command, areas ...config.Area) *cobra.Command {
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

func areasOf(cmd *cobra.Command) []config.Area {
	var areas []config.Area
	for name := range strings.SplitSeq(cmd.Annotations[areasAnnotation], ",") {
		if name != "" {
			areas = append(areas, config.Area(name))
		}
	}
	return areas
}

// settings reads the settings of the command's areas, and of further ones that it takes from environment and file only.
// Warnings go to stderr.
func (a *app) settings(cmd *cobra.Command, further ...config.Area) (*config.Config, error) {
	cfg, err := config.Load(config.Sources{Environ: a.environ, Flags: cmd.Flags()}, append(areasOf(cmd), further...)...)
	if err != nil {
		return nil, err
	}
	for _, warning := range cfg.Warnings() {
		a.warn(warning)
	}
	return cfg, nil
}

func (a *app) warn(text string) { _, _ = fmt.Fprintln(a.err, "kycq: warning: "+text) }

// note says something that is not the answer.
func (a *app) note(format string, args ...any) { _, _ = fmt.Fprintf(a.err, format+"\n", args...) }

// print writes a part of the answer.
func (a *app) print(format string, args ...any) error {
	_, err := fmt.Fprintf(a.out, format, args...)
	return err
}

// printJSON writes the answer for programs, indented: it is read by people as well.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printLine writes one of several answers as a line of JSON.
func (a *app) printLine(v any) error {
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func (a *app) logger(cfg *config.Config) (zerolog.Logger, error) {
	return logx.New(a.err, cfg.LogFormat, cfg.LogLevel)
}
