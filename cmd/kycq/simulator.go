package main

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/dev/simulator"
)

const simulatorListen = "127.0.0.1:8090"

// simulatorFlags are the flags of the account that is simulated and of the vendor's mood.
type simulatorFlags struct {
	config       simulator.Config
	balance      int
	limit        string
	signatureKey string
}

func newSimulator(a *app) *cobra.Command {
	var f simulatorFlags
	cmd := uses(&cobra.Command{
		Use:   "simulator",
		Short: "serve a stateful twin of Cashfree's two calls, for development and tests",
		Long: `simulator serves Aadhaar masking and passport verification as Cashfree does: it validates, charges, limits, uses up
verification_ids, fails on demand, masks SPECIMEN cards, and keeps a ledger of every request and charge. It prints its URL
on stdout; give it to a worker as KYCQ_CASHFREE_URL, and its host and port as KYCQ_IMAGE_HOSTS.

KYCQ_CASHFREE_CLIENT_ID and KYCQ_CASHFREE_CLIENT_SECRET are the account's credentials; without them every pair is right.
While it runs: GET /_sim/ledger and /_sim/state; POST /_sim/faults, /_sim/balance, /_sim/credentials, /_sim/ips,
/_sim/limit.`,
		Example: `  kycq simulator
  kycq simulator --limit 600/m --latency 200ms --ledger sim.jsonl
  kycq simulator --balance 300 --take-ids arrival --window sliding
  curl -d '{"endpoint":"passport","fault":"502","count":3}' http://127.0.0.1:8090/_sim/faults`,
		Args: cobra.NoArgs,
		RunE: a.command(func(cmd *cobra.Command, _ []string) error {
			// Credentials come from environment and files only.
			cfg, err := a.settings(cmd, config.Cashfree)
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
	flags.StringVar(&f.limit, "limit", "100/m", "calls of each endpoint per s, m or h, or none")
	flags.StringVar(&f.config.Window, "window", "fixed", "shape of the limit: fixed, sliding, bucket or none")
	flags.IntVar(&f.config.Burst, "burst", 1, "size of the bucket, in calls")
	flags.IntVar(&f.config.LimitPerIP, "limit-per-ip", 0, "calls of one address to both endpoints in the same time; 0: no limit")
	flags.DurationVar(&f.config.Latency, "latency", 0, "time between a request and its answer")
	flags.IntVar(&f.balance, "balance", -1, "paid calls that are left; -1: endless")
	flags.StringVar(&f.config.TakeIDs, "take-ids", simulator.TakeOnSuccess, "when a verification_id is used up: arrival or success")
	flags.StringSliceVar(&f.config.AllowedIPs, "allow-ip", nil, "addresses or prefixes that may call (10.0.0.0/8); all where empty")
	flags.StringVar(&f.signatureKey, "signature-key", "", "PEM file of an RSA private key: x-cf-signature is then required and checked")
	flags.StringVar(&f.config.LedgerPath, "ledger", "", "append-only JSONL file of every request; one that exists is gone on with")
	flags.StringVar(&f.config.PublicURL, "public-url", "", "how image links begin, where the simulator is not reached under the name it is called by")
	flags.DurationVar(&f.config.LinkTTL, "link-ttl", time.Hour, "life of an image link")
	flags.Uint64Var(&f.config.Seed, "seed", 0, "makes random faults repeatable")
	for name, choices := range map[string][]string{
		"window": {"fixed", "sliding", "bucket", "none"}, "take-ids": {simulator.TakeOnArrival, simulator.TakeOnSuccess},
	} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp))
	}
}

// build turns the flags into the simulator. Every error is one of usage, but that of the ledger's file.
func (f *simulatorFlags) build() (*simulator.Simulator, error) {
	var err error
	if f.config.Limit, f.config.Per, err = parseLimit(f.limit); err != nil {
		return nil, usageError(err)
	}
	if f.config.Limit == 0 {
		f.config.Window = "none"
	}
	if f.balance < -1 {
		return nil, usagef("--balance: must be -1 (endless) or more")
	}
	if f.signatureKey != "" {
		if f.config.PrivateKey, err = readPrivateKey(f.signatureKey); err != nil {
			return nil, usageError(err)
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
	log, err := a.logger(cfg)
	if err != nil {
		return err
	}
	f.config.Log = log
	f.config.ClientID, f.config.ClientSecret = cfg.CashfreeClientID, cfg.CashfreeClientSecret.Reveal()
	sim, err := f.build()
	if err != nil {
		return err
	}
	l, err := a.listen(ctx, cfg.Listen, simulatorListen)
	if err != nil {
		return errors.Join(err, sim.Close())
	}
	if err := a.announce(l.Addr()); err != nil {
		return errors.Join(err, l.Close(), sim.Close())
	}
	err = serve(ctx, l, sim, sim.Close)
	a.note("the simulator has stopped")
	return err
}

func (a *app) announce(addr net.Addr) error {
	host := addr.String()
	url := "http://" + host + "/verification"
	a.note("the simulator listens; a worker finds it with KYCQ_CASHFREE_URL=%s KYCQ_IMAGE_HOSTS=%s", url, host)
	if a.json {
		return a.printLine(map[string]string{"url": url, "control": "http://" + host + "/_sim/"})
	}
	return a.print("%s\n", url)
}

// serve answers requests until ctx ends. Then requests in flight have shutdownTime to end; closeHandler releases those
// that hang on purpose.
func serve(ctx context.Context, l net.Listener, h http.Handler, closeHandler func() error) error {
	const (
		headerTime   = 10 * time.Second
		shutdownTime = 10 * time.Second
	)
	srv := &http.Server{Handler: h, ReadHeaderTimeout: headerTime}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	select {
	case err := <-failed:
		return errors.Join(fmt.Errorf("serve: %w", err), closeHandler())
	case <-ctx.Done():
	}
	closed := closeHandler()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := srv.Shutdown(stopping); err != nil {
		_ = srv.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		closed = errors.Join(closed, fmt.Errorf("serve: %w", err))
	}
	return closed
}

// parseLimit reads 100/m, or none as 0.
func parseLimit(text string) (calls int, per time.Duration, err error) {
	if text == "none" {
		return 0, time.Minute, nil
	}
	number, unit, _ := strings.Cut(text, "/")
	calls, err = strconv.Atoi(number)
	per = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	if err != nil || calls < 1 || per == 0 {
		return 0, 0, fmt.Errorf("--limit: %q is not a rate: write for example 100/m, or none", text)
	}
	return calls, per, nil
}

func readPrivateKey(path string) (*rsa.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--signature-key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("--signature-key: %s is not PEM", path)
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	rsaKey, ok := key.(*rsa.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("--signature-key: %s holds no RSA private key: make one with openssl genrsa 2048", path)
	}
	return rsaKey, nil
}
