package main

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/kycq/kycq/internal/cli"
)

func newMan(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		Short:   "write the manual pages of all commands to a folder",
		Example: "  kycq man /usr/local/share/man/man1",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.Usagef("name the folder to write to")
			}
			return nil
		},
		RunE: a.Command(func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil { //nolint:gosec // manual pages are for all users
				return err
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true // no date: the same program writes the same pages
			header := &doc.GenManHeader{Section: "1", Source: a.Build.Program + " " + a.Build.Version, Manual: "kycq"}
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return err
			}
			return a.Answer(map[string]string{"folder": args[0]}, func() string { return "" })
		}),
	}
}
