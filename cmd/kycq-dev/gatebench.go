package main

import (
	"errors"
	"flag"
	"os"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/dev/gatebench"
)

func newGatebench(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gatebench [FLAGS]",
		Short: "measure how much of the vendor's rate limit a fleet uses",
		Long: `gatebench starts worker processes, a Redis server and a simulated vendor, and prints for each case the share of the rate
limit that was used, the 429s, and how long live calls waited. It needs redis-server in PATH. kycq-dev gatebench -h lists
its flags.`,
		Example:            "  kycq-dev gatebench -limits 600/6s -procs 4 -shapes fixed,sliding",
		DisableFlagParsing: true, // gatebench has a flag set of its own
	}
	cmd.RunE = a.Command(func(cmd *cobra.Command, args []string) error {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		err = gatebench.Run(cmd.Context(), []string{self, cmd.Name()}, args, a.In, a.Out, a.Err)
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	})
	return cmd
}
