package main

import (
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
		Short:   "show every setting that is in force, and where it comes from",
		Long:    "print shows every setting in force with its source: flag, environment, a file, or the default. Secrets are masked.",
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
	cmd.Flags().BoolVar(&markdown, "markdown", false, "print the documentation's table of all settings")
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
	if a.JSON {
		return a.PrintJSON(map[string]any{"settings": views})
	}
	for _, v := range views {
		value := v.Value
		if value == "" {
			value = "-"
		}
		// A PEM block has many lines; its first says enough.
		value, _, _ = strings.Cut(value, "\n")
		if err := a.Print("%-28s %-44s %s\n", v.Env, value, v.Source); err != nil {
			return err
		}
	}
	return nil
}

func newConfigCheck(a *app) *cobra.Command {
	return cli.Uses(&cobra.Command{
		Use:   "check",
		Short: "say what is wrong with the settings, without connecting to anything",
		Long: `check reads all settings and says what is wrong with them, all at once: unknown names, values out of range, both a
value and its file, a keyset that cannot be read. It connects to nothing. Exit code 2 where something is wrong; what only a
worker misses is a warning.`,
		Example: "  kycq config check\n  kycq config check --config kycq.yaml --json",
		Args:    cobra.NoArgs,
		RunE:    a.Command(func(cmd *cobra.Command, _ []string) error { return a.checkSettings(cmd) }),
	}, config.Areas()...)
}

// checked is the answer of config check.
type checked struct {
	OK       bool     `json:"ok"`
	Problems []string `json:"problems"`
	Warnings []string `json:"warnings"`
}

func (a *app) checkSettings(cmd *cobra.Command) error {
	result := checked{Problems: []string{}, Warnings: []string{}}
	cfg, err := config.Load(config.Sources{Environ: a.Environ, Flags: cmd.Flags()})
	if err != nil {
		result.Problems = lines(err)
	} else {
		result.Warnings = append(result.Warnings, cfg.Warnings()...)
		result.Problems = append(result.Problems, unusable(cmd, cfg)...)
		result.Warnings = append(result.Warnings, missingForWorker(cfg)...)
	}
	result.OK = len(result.Problems) == 0
	if a.JSON {
		err = a.PrintJSON(result)
	} else {
		err = a.printChecked(result)
	}
	if err == nil && !result.OK {
		return cli.Exit(cli.ExitUsage)
	}
	return err
}

func (a *app) printChecked(c checked) error {
	for _, problem := range c.Problems {
		if err := a.Print("wrong    %s\n", problem); err != nil {
			return err
		}
	}
	for _, warning := range c.Warnings {
		if err := a.Print("warning  %s\n", warning); err != nil {
			return err
		}
	}
	if c.OK {
		return a.Print("fine     the settings can be used\n")
	}
	return nil
}

// unusable builds what can be built without a network.
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

// settingsTable is the README's table, in Markdown. It is made from the table of settings and the tree of commands.
func settingsTable(root *cobra.Command) string {
	var text strings.Builder
	text.WriteString("| variable | flag | default | what it is | used by |\n| --- | --- | --- | --- | --- |\n")
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

// users lists the commands that use an area, by their first words; those of config itself read everything.
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
