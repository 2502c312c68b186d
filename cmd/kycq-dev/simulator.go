package main

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/dev/simulator"
	"github.com/kycq/kycq/internal/rate"
)

const simulatorListen = "127.0.0.1:8090"

// simulatorFlags describe the simulated account.
type simulatorFlags struct {
	config       simulator.Config
	balance      int
	limit        string
	signatureKey string
}

func newSimulator(a *app) *cobra.Command {
	var f simulatorFlags
	cmd := cli.Uses(&cobra.Command{
		Use:   "simulator",
		Short: "simulate Cashfree's two API calls",
		Long: `simulator serves Aadhaar masking and passport verification as Cashfree does: it validates, charges, limits the rate,
refuses a used verification_id, injects faults on request, masks SPECIMEN cards, and keeps a ledger of requests and
charges. It prints its URL, which workers take as KYCQ_CASHFREE_URL; KYCQ_IMAGE_HOSTS must be its host and port.

KYCQ_CASHFREE_CLIENT_ID and KYCQ_CASHFREE_CLIENT_SECRET are the account's credentials; without them any are accepted.
To inspect and control it: GET /_sim/ledger and /_sim/state; POST /_sim/faults, /_sim/balance, /_sim/credentials,
/_sim/ips and /_sim/limit.`,
		Example: `  kycq-dev simulator
  kycq-dev simulator --limit 600/m --latency 200ms --ledger sim.jsonl
  kycq-dev simulator --balance 300 --take-ids arrival --window sliding
  curl -d '{"endpoint":"passport","fault":"502","count":3}' http://127.0.0.1:8090/_sim/faults`,
		Args: cobra.NoArgs,
		RunE: a.Command(func(cmd *cobra.Command, _ []string) error {
			// Credentials come from the environment and files, not from flags.
			cfg, err := a.Settings(cmd, config.Cashfree)
			if err != nil {
				return err
			}
			return a.simulate(cmd.Context(), cfg, f)
		}),
	}, config.Listen, config.Log)
	f.register(cmd)
	return cmd
}

func (f *simulatorFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.limit, "limit", "100/m", "rate limit of each endpoint, for example 100/m, or none")
	flags.StringVar(&f.config.Window, "window", "fixed", "how calls are counted: fixed, sliding, bucket or none")
	flags.IntVar(&f.config.Burst, "burst", 1, "size of the bucket, in calls")
	flags.IntVar(&f.config.LimitPerIP, "limit-per-ip", 0, "rate limit of each client address over both endpoints; 0: none")
	flags.DurationVar(&f.config.Latency, "latency", 0, "time that each answer takes")
	flags.IntVar(&f.balance, "balance", -1, "calls that the account can pay for; -1: unlimited")
	flags.StringVar(&f.config.TakeIDs, "take-ids", simulator.TakeOnSuccess, "when a verification_id counts as used: arrival or success")
	flags.StringSliceVar(&f.config.AllowedIPs, "allow-ip", nil, "IP whitelist: addresses or prefixes (10.0.0.0/8); default: all")
	flags.StringVar(&f.signatureKey, "signature-key", "", "PEM file with an RSA private key; requires and checks x-cf-signature")
	flags.StringVar(&f.config.LedgerPath, "ledger", "", "JSONL file for the ledger; an existing one is continued")
	flags.StringVar(&f.config.PublicURL, "public-url", "", "base URL of image links, if not the address of the request")
	flags.DurationVar(&f.config.LinkTTL, "link-ttl", time.Hour, "validity of image links")
	flags.Uint64Var(&f.config.Seed, "seed", 0, "seed of random faults")
	for name, choices := range map[string][]string{
		"window": {"fixed", "sliding", "bucket", "none"}, "take-ids": {simulator.TakeOnArrival, simulator.TakeOnSuccess},
	} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp))
	}
}

// build returns usage errors, except for those of the simulator itself.
func (f *simulatorFlags) build() (*simulator.Simulator, error) {
	limit, err := parseLimit(f.limit)
	if err != nil {
		return nil, cli.UsageError(err)
	}
	f.config.Limit, f.config.Per = limit.Calls, limit.Per
	if f.config.Limit == 0 {
		f.config.Window = "none"
	}
	if f.balance < -1 {
		return nil, cli.Usagef("--balance: must be -1 (unlimited) or more")
	}
	if f.signatureKey != "" {
		if f.config.PrivateKey, err = readPrivateKey(f.signatureKey); err != nil {
			return nil, cli.UsageError(err)
		}
	}
	if f.balance > 0 {
		f.config.Balance = f.balance
	}
	sim, err := simulator.New(f.config)
	if err != nil {
		return nil, err
	}
	if f.balance == 0 {
		sim.SetBalance(0)
	}
	return sim, nil
}

func (a *app) simulate(ctx context.Context, cfg *config.Config, f simulatorFlags) error {
	log, err := a.Logger(cfg)
	if err != nil {
		return err
	}
	f.config.Log = log
	f.config.ClientID, f.config.ClientSecret = cfg.CashfreeClientID, cfg.CashfreeClientSecret.Reveal()
	sim, err := f.build()
	if err != nil {
		return err
	}
	l, err := a.Listen(ctx, cfg.Listen, simulatorListen)
	if err != nil {
		return errors.Join(err, sim.Close())
	}
	if err := a.announce(l.Addr()); err != nil {
		return errors.Join(err, l.Close(), sim.Close())
	}
	err = cli.Serve(ctx, l, nil, sim, cli.ShutdownTimeout, sim.Close)
	a.Note("the simulator has stopped")
	return err
}

func (a *app) announce(addr net.Addr) error {
	host := addr.String()
	url := "http://" + host + "/verification"
	a.Note("simulator started; set KYCQ_CASHFREE_URL=%s KYCQ_IMAGE_HOSTS=%s for workers", url, host)
	if a.JSON {
		return a.PrintLine(map[string]string{"url": url, "control": "http://" + host + "/_sim/"})
	}
	return a.Print("%s\n", url)
}

// parseLimit reads a rate; none is 0 calls.
func parseLimit(text string) (rate.Rate, error) {
	if text == "none" {
		return rate.Rate{Per: time.Minute}, nil
	}
	r, err := rate.Parse(text)
	if err != nil {
		return r, fmt.Errorf("--limit: %q is not a rate: write for example 100/m, or none", text)
	}
	return r, nil
}

func readPrivateKey(path string) (*rsa.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--signature-key: %w", err)
	}
	key, err := simulator.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("--signature-key: %s: %w (create one with openssl genrsa 2048)", path, err)
	}
	return key, nil
}
