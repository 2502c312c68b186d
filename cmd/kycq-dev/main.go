// Command kycq-dev holds what development and tests of kycq need: a demo, a simulator of Cashfree, and the benchmark of
// the rate limiter. It is not meant for production.
package main

import (
	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/cli"
)

// Stamped by the linker (make build).
var version, commit string

func main() { program().Main() }

func program() cli.Program {
	return cli.Program{Name: "kycq-dev", Version: version, Commit: commit, Root: newRoot}
}

// app gives the commands methods of their own.
type app struct{ *cli.App }

func newRoot(shared *cli.App) *cobra.Command {
	a := &app{shared}
	root := &cobra.Command{
		Use:   "kycq-dev",
		Short: "demo, simulator of Cashfree, and benchmark for kycq",
		Long: `kycq-dev contains tools to try, develop and test kycq. Production does not need it.

` + cli.ExitCodesHelp,
		Example: `  kycq-dev demo
  kycq-dev simulator --limit 600/m`,
	}
	root.AddCommand(newDemo(a), newSimulator(a), newGatebench(a), newMinioUsers(a), cli.NewVersion(shared))
	return root
}
