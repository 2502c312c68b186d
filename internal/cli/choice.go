package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// choice is a flag that takes one of some words.
type choice struct {
	value   *string
	choices []string
}

// ChoiceFlag registers a flag that takes one of the choices. The first is the default.
func ChoiceFlag(cmd *cobra.Command, value *string, name, help string, choices ...string) {
	*value = choices[0]
	cmd.Flags().Var(&choice{value, choices}, name, help)
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp))
}

func (c *choice) String() string { return *c.value }
func (c *choice) Type() string   { return strings.Join(c.choices, "|") }

func (c *choice) Set(text string) error {
	if !slices.Contains(c.choices, text) {
		return fmt.Errorf("use one of %s", strings.Join(c.choices, ", "))
	}
	*c.value = text
	return nil
}
