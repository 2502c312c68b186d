// Command kycq runs bulk and live KYC checks against Cashfree Secure ID; see kycq help.
//
// Each command has a file of its own: it reads flags and settings, opens what it needs (internal/wire), calls the package
// that does the work, and prints the answer.
package main

import (
	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/cli"
)

// Stamped by the linker (make build).
var version, commit string

func main() { program().Main() }

func program() cli.Program {
	return cli.Program{Name: "kycq", Version: version, Commit: commit, Root: newRoot}
}

// app gives the commands methods of their own.
type app struct{ *cli.App }

func newRoot(shared *cli.App) *cobra.Command {
	a := &app{shared}
	root := &cobra.Command{
		Use:   "kycq",
		Short: "bulk and live KYC checks against Cashfree Secure ID",
		Long: `kycq masks Aadhaar cards and verifies passports through Cashfree Secure ID, in bulk and live. It uses the vendor's full
rate limit without exceeding it, loses no job, and pays for no call twice.

Settings come from flags, KYCQ_ variables, files with secrets (KYCQ_..._FILE) and a YAML file, in this order of precedence;
kycq config print shows the values in force. The file is that of --config, else $XDG_CONFIG_HOME/kycq/config.yaml (by default
~/.config/kycq/config.yaml), else /etc/kycq/config.yaml.

` + cli.ExitCodesHelp,
		Example: `  kycq keys generate --out keyset.json
  kycq storage init
  kycq worker
  kycq enqueue aadhaar --id ABC00123 --image card.jpg
  kycq job wait ABC00123`,
	}
	root.AddCommand(
		newOverview(a), newWorker(a), newEnqueue(a), newJob(a), newBatch(a), newFleet(a), newStorage(a), newKeys(a), newConfig(a),
		newErase(a), newLegalHold(a), newRetention(a), newReview(a), newAudit(a), newDashboard(a), newServe(a), newWebhooks(a), newDoctor(a), newHealthcheck(a), newMan(a),
		cli.NewVersion(shared),
	)
	return root
}
