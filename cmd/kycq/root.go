package main

import (
	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/config"
)

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "kycq",
		Short: "bulk and live KYC checks against Cashfree Secure ID",
		Long: `kycq masks Aadhaar cards and verifies passports through Cashfree Secure ID: bulk and live, at the vendor's
full rate and not one call more, without losing a row and without paying twice.

Settings come from flags, KYCQ_ variables, files of secrets (KYCQ_..._FILE) and a YAML file (--config), in this order;
kycq config print shows what is in force.

` + exitCodesHelp,
		Example: `  kycq keys generate > keyset.json && chmod 600 keyset.json
  kycq storage init
  kycq worker
  kycq enqueue aadhaar --id ABC00123 --image card.jpg
  kycq job wait ABC00123`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       readBuild().String(),
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetUsageFunc(usage)
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveDefault)
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print the answer as JSON")
	config.AddConfigFlag(root.PersistentFlags())
	root.AddCommand(
		newDemo(a), newWorker(a), newEnqueue(a), newJob(a), newBatch(a), newFleet(a),
		newStorage(a), newKeys(a), newConfig(a), newSimulator(a), newErase(a), newAudit(a),
		newDashboard(a), newDoctor(a), newHealthcheck(a), newVersion(a),
	)
	return root
}
