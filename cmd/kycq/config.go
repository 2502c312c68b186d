package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	return cli.Uses(&cobra.Command{
		Use:     "print",
		Short:   "show all settings in force and their sources",
		Long:    "print shows the value and the source of each setting: flag, environment, file or default. Secrets are masked.",
		Example: "  kycq config print\n  kycq config print --config kycq.yaml --json",
		Args:    cobra.NoArgs,
		RunE: a.Command(func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.Settings(cmd)
			if err != nil {
				return err
			}
			return a.printSettings(cfg)
		}),
	}, config.Areas()...)
}

type settingView struct {
	Name   string `json:"name"`
	Env    string `json:"env"`
	Value  string `json:"value"`
	Source string `json:"source"`
}

func (a *app) printSettings(cfg *config.Config) error {
	views := make([]settingView, len(cfg.Values()))
	for i, v := range cfg.Values() {
		views[i] = settingView{Name: v.Name, Env: v.Env(), Value: v.Text, Source: v.Source}
	}
	return a.Answer(map[string]any{"file": cfg.File, "settings": views}, func() string {
		var text strings.Builder
		_, _ = fmt.Fprintf(&text, "%-28s %s\n", "configuration file", cmp.Or(cfg.File, "none"))
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

	missing int // how many of the warnings are settings that a worker needs
}

func (a *app) checkSettings(cmd *cobra.Command) error {
	result := checked{Problems: []string{}, Warnings: []string{}}
	cfg, err := config.Load(config.Sources{Environ: a.Environ, Flags: cmd.Flags()})
	if err == nil {
		missing := lines(errors.Join(cfg.RequireCredentials(), cfg.RequireSealing()))
		result.Warnings = append(append(result.Warnings, cfg.Warnings()...), missing...)
		result.missing = len(missing)
		err = checkUsable(cmd.Context(), cfg)
	}
	result.Problems = append(result.Problems, lines(err)...)
	result.OK = err == nil
	if err := a.Answer(result, result.text); err != nil || result.OK {
		return err
	}
	return cli.Exit(cli.ExitUsage)
}

func (c checked) text() string {
	var text strings.Builder
	for _, problem := range c.Problems {
		_, _ = fmt.Fprintf(&text, "wrong    %s\n", problem)
	}
	for _, warning := range c.Warnings {
		_, _ = fmt.Fprintf(&text, "warning  %s\n", warning)
	}
	switch {
	case !c.OK:
		return text.String()
	case c.missing == 1:
		text.WriteString("settings are well formed; a worker would not start: 1 is missing\n")
	case c.missing > 1:
		_, _ = fmt.Fprintf(&text, "settings are well formed; a worker would not start: %d are missing\n", c.missing)
	default:
		text.WriteString("settings are well formed\n")
	}
	return text.String()
}

// checkUsable returns the errors of all parts that can be built without a network.
func checkUsable(ctx context.Context, cfg *config.Config) error {
	client, redisErr := wire.NewRedis(cfg)
	if redisErr == nil {
		_ = client.Close()
	}
	_, storeErr := wire.OpenStore(ctx, cfg)
	_, keysetErr := wire.OpenKeyset(cfg)
	if errors.Is(keysetErr, config.ErrNoKeyset) {
		keysetErr = nil // a warning
	}
	return errors.Join(redisErr, storeErr, keysetErr)
}

// lines returns the lines of an error message; none for nil.
func lines(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}
