package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kycq/kycq/internal/config"
)

// usage prints a command's usage. Unlike cobra's own it lists the flags of settings, which many commands share, apart
// from the command's own flags.
func usage(cmd *cobra.Command) error {
	var text strings.Builder
	line := cmd.UseLine()
	if cmd.Annotations[groupAnnotation] != "" || cmd.HasAvailableSubCommands() {
		line = cmd.CommandPath() + " COMMAND"
	}
	section(&text, "Usage", "  "+line)
	section(&text, "Examples", cmd.Example)
	section(&text, "Commands", subcommands(cmd))
	own, settings := splitFlags(cmd.LocalFlags())
	section(&text, "Flags", own.FlagUsages())
	section(&text, "Settings (each also a KYCQ_ variable and a YAML key: --redis-url is KYCQ_REDIS_URL and redis_url)", settings.FlagUsages())
	section(&text, "Flags of all commands", cmd.InheritedFlags().FlagUsages())
	_, err := io.WriteString(cmd.OutOrStderr(), text.String())
	return err
}

// nearestFlag adds the most similar flag to the error about an unknown one.
func nearestFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || len(unknown.GetSpecifiedName()) < 2 {
		return err
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, "--"+f.Name)
		}
	})
	return fmt.Errorf("%w%s", err, config.Nearest("--"+unknown.GetSpecifiedName(), names))
}

// nearestCommand adds similar commands to cobra's error about an unknown one, which is no type of its own.
func nearestCommand(root *cobra.Command, err error) error {
	var unknown string
	if n, _ := fmt.Sscanf(err.Error(), "unknown command %q for", &unknown); n == 0 {
		return err
	}
	if similar := root.SuggestionsFor(unknown); len(similar) > 0 {
		return fmt.Errorf("%w: did you mean %s?", err, strings.Join(similar, " or "))
	}
	return err
}

func section(text *strings.Builder, title, body string) {
	if body = strings.TrimRight(body, "\n"); body == "" {
		return
	}
	if text.Len() > 0 {
		text.WriteString("\n")
	}
	_, _ = fmt.Fprintf(text, "%s:\n%s\n", title, body)
}

func subcommands(cmd *cobra.Command) string {
	var text strings.Builder
	for _, child := range cmd.Commands() {
		if child.IsAvailableCommand() || child.Name() == "help" {
			_, _ = fmt.Fprintf(&text, "  %-*s %s\n", child.NamePadding(), child.Name(), child.Short)
		}
	}
	return text.String()
}

func splitFlags(all *pflag.FlagSet) (own, settings *pflag.FlagSet) {
	own, settings = pflag.NewFlagSet("", pflag.ContinueOnError), pflag.NewFlagSet("", pflag.ContinueOnError)
	all.VisitAll(func(f *pflag.Flag) {
		if f.Annotations[config.SettingAnnotation] != nil {
			settings.AddFlag(f)
		} else {
			own.AddFlag(f)
		}
	})
	return own, settings
}
