package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/wire"
)

func newConfig(a *app) *cobra.Command {
	return a.Group(&cobra.Command{Use: "config", Short: "show and check the settings"}, newConfigPrint(a), newConfigCheck(a))
}

func newConfigPrint(a *app) *cobra.Command {
	var markdown bool
	cmd := cli.Uses(&cobra.Command{
		Use:     "print",
		Short:   "show all settings in force and their sources",
		Long:    "print shows the value and the source of each setting: flag, environment, file or default. Secrets are masked.",
		Example: "  kycq config print\n  kycq config print --config kycq.yaml --json",
		Args:    cobra.NoArgs,
		RunE: a.Command(func(cmd *cobra.Command, _ []string) error {
			if markdown {
				return a.Print("%s", settingsTable(cmd.Root()))
			}
			cfg, err := a.Settings(cmd)
			if err != nil {
				return err
			}
			return a.printSettings(cfg.Values())
		}),
	}, config.Areas()...)
	cmd.Flags().BoolVar(&markdown, "markdown", false, "print the README's table of settings")
	_ = cmd.Flags().MarkHidden("markdown")
	return cmd
}

type settingView struct {
	Name   string `json:"name"`
	Env    string `json:"env"`
	Value  string `json:"value"`
	Source string `json:"source"`
}

func (a *app) printSettings(values []config.Value) error {
	views := make([]settingView, len(values))
	for i, v := range values {
		views[i] = settingView{Name: v.Name, Env: v.Env(), Value: v.Text, Source: v.Source}
	}
	return a.Answer(map[string]any{"settings": views}, func() string {
		var text strings.Builder
		for _, v := range views {
			value, _, _ := strings.Cut(cmp.Or(v.Value, "-"), "\n") // the first line of a PEM block
			_, _ = fmt.Fprintf(&text, "%-28s %-44s %s\n", v.Env, value, v.Source)
		}
		return text.String()
	})
}

func newConfigCheck(a *app) *cobra.Command {
	return cli.Uses(&cobra.Command{
		Use:   "check",
		Short: "check the settings without connecting to anything",
		Long: `check reads all settings and prints all problems at once: unknown names, values out of range, a value given twice, an
invalid keyset. It exits with code 2 if there are any. Settings that are missing and only workers need are warnings.`,
		Example: "  kycq config check\n  kycq config check --config kycq.yaml --json",
		Args:    cobra.NoArgs,
		RunE:    a.Command(func(cmd *cobra.Command, _ []string) error { return a.checkSettings(cmd) }),
	}, config.Areas()...)
}

type checked struct {
	OK       bool     `json:"ok"`
	Problems []string `json:"problems"`
	Warnings []string `json:"warnings"`
}

func (a *app) checkSettings(cmd *cobra.Command) error {
	result := checked{Problems: []string{}, Warnings: []string{}}
	missing := 0
	cfg, err := config.Load(config.Sources{Environ: a.Environ, Flags: cmd.Flags()})
	if err != nil {
		result.Problems = lines(err)
	} else {
		result.Warnings = append(result.Warnings, cfg.Warnings()...)
		result.Problems = append(result.Problems, unusable(cmd, cfg)...)
		needed := missingForWorker(cfg)
		result.Warnings, missing = append(result.Warnings, needed...), len(needed)
	}
	result.OK = len(result.Problems) == 0
	err = a.Answer(result, func() string { return result.text(missing) })
	if err == nil && !result.OK {
		return cli.Exit(cli.ExitUsage)
	}
	return err
}

func (c checked) text(missing int) string {
	var text strings.Builder
	for _, problem := range c.Problems {
		_, _ = fmt.Fprintf(&text, "wrong    %s\n", problem)
	}
	for _, warning := range c.Warnings {
		_, _ = fmt.Fprintf(&text, "warning  %s\n", warning)
	}
	switch {
	case c.OK && missing == 1:
		text.WriteString("settings are well formed; a worker would not start: 1 is missing\n")
	case c.OK && missing > 1:
		_, _ = fmt.Fprintf(&text, "settings are well formed; a worker would not start: %d are missing\n", missing)
	case c.OK:
		text.WriteString("settings are well formed\n")
	}
	return text.String()
}

// unusable returns the errors of all parts that can be built without a network.
func unusable(cmd *cobra.Command, cfg *config.Config) []string {
	var problems []string
	if client, err := wire.NewRedis(cfg); err != nil {
		problems = append(problems, lines(err)...)
	} else {
		_ = client.Close()
	}
	if _, err := wire.OpenStore(cmd.Context(), cfg); err != nil {
		problems = append(problems, lines(err)...)
	}
	if cfg.RequireSealing() == nil {
		if _, err := wire.OpenKeyset(cfg); err != nil {
			problems = append(problems, lines(err)...)
		}
	}
	return problems
}

func missingForWorker(cfg *config.Config) []string {
	var missing []string
	for _, err := range []error{cfg.Require("cashfree_client_id", "cashfree_client_secret"), cfg.RequireSealing()} {
		if err != nil {
			missing = append(missing, lines(err)...)
		}
	}
	return missing
}

func lines(err error) []string { return strings.Split(err.Error(), "\n") }

// settingsTable is the README's table in Markdown.
func settingsTable(root *cobra.Command) string {
	var text strings.Builder
	text.WriteString("| variable | flag | default | description | used by |\n| --- | --- | --- | --- | --- |\n")
	for _, s := range config.Settings() {
		variable, flag, byDefault := "`"+s.Env()+"`", "", ""
		if s.File {
			variable += ", `" + s.Env() + "_FILE`"
		}
		for _, name := range []string{s.Flag(), s.FileFlag()} {
			if name != "" {
				flag += "`--" + name + "` "
			}
		}
		if s.Default != "" {
			byDefault = "`" + s.Default + "`"
		}
		_, _ = fmt.Fprintf(&text, "| %s | %s | %s | %s | %s |\n", variable, strings.TrimSpace(flag), byDefault,
			strings.ReplaceAll(s.Help, "|", `\|`), strings.Join(users(root, s.Area), ", "))
	}
	for _, e := range config.Externals() {
		_, _ = fmt.Fprintf(&text, "| `%s` | | | %s | |\n", strings.ReplaceAll(e.Name, ", ", "`, `"), e.Help)
	}
	return text.String()
}

// users lists the top-level commands that use an area, except config, which reads all.
func users(cmd *cobra.Command, area config.Area) []string {
	var names []string
	if slices.Contains(cli.AreasOf(cmd), area) {
		name, _, _ := strings.Cut(strings.TrimPrefix(cmd.CommandPath(), "kycq "), " ")
		names = append(names, name)
	}
	for _, child := range cmd.Commands() {
		if child.Name() != "config" {
			names = append(names, users(child, area)...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
