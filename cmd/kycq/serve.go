package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"runtime/debug"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/api"
	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/loopback"
	"github.com/kycq/kycq/internal/wire"
)

const serveListen = "127.0.0.1:8082"

// serveMemory makes the garbage collector return memory earlier: six images and what else is in use need less than 100 MiB.
const serveMemory = 100 << 20

func newServe(a *app) *cobra.Command {
	var maxPending int
	cmd := a.command(&cobra.Command{
		Use:   "serve",
		Short: "serve the HTTP API for programs in any language",
		Long: `serve answers HTTP requests that submit, read, wait for, retry, cancel and review jobs, that submit and control batches, and
that pause and resume the fleet. /docs describes them for people, /openapi.json for programs. Programs send a key (Authorization: Bearer kq_...), which kycq serve key makes. The file of
keys is read again every 2 seconds: a removed line revokes its key.

It serves plain HTTP unless KYCQ_TLS_CERT_FILE and KYCQ_TLS_KEY_FILE name a certificate. Any number of processes may serve
beside each other.

If KYCQ_WEBHOOKS_FILE names endpoints, it also delivers events to them: see kycq webhooks.

On SIGTERM or Ctrl-C it answers the requests that wait, and finishes the others.`,
		Example: `  kycq serve key --name app1 --scope submit,read --file api.keys
  KYCQ_API_KEYS_FILE=api.keys kycq serve
  kycq serve --api-keys-file api.keys --listen :8443 --tls-cert-file cert.pem --tls-key-file key.pem --max-pending 1000`,
		Args: cobra.NoArgs,
	}, []config.Area{config.Redis, config.S3, config.Sealing, config.Rates, config.Listen, config.API, config.Webhooks, config.Log}, func(ctx context.Context, d *deps, _ []string) error {
		if maxPending < 0 {
			return cli.Usagef("--max-pending: must be 0 (no limit) or more")
		}
		return a.serve(ctx, d, maxPending)
	})
	cmd.Flags().IntVar(&maxPending, "max-pending", 0, "how many unfinished jobs each key may have, with the rows of its batches; 0: any number")
	cmd.AddCommand(newServeKey(a))
	return cmd
}

func (a *app) serve(ctx context.Context, d *deps, maxPending int) error {
	log, err := a.Logger(d.cfg)
	if err != nil {
		return err
	}
	_, host, err := audit.Here()
	if host == "" {
		return err
	}
	keys, err := openKeys(d.cfg, log)
	if err != nil {
		return err
	}
	hooks, err := a.deliverer(d, log)
	if err != nil {
		return err
	}
	var metrics func(prometheus.Registerer)
	if hooks != nil {
		metrics = hooks.Register
	}
	handler, err := api.New(api.Config{
		Metrics: metrics,
		Store:   d.store, Client: d.client, Keyset: d.keyset, Redis: d.redis, Gate: d.gate, Pauses: d.pauses(), Keys: keys, MaxPending: maxPending, Log: log,
		Audit: func(ctx context.Context, user string, act audit.Act) error {
			_, err := wire.AppendAudit(ctx, d.cfg, d.store, user, host, act)
			return err
		},
	})
	if err != nil {
		return err
	}
	secure, err := openCertificate(d.cfg, log)
	if err != nil {
		return err
	}
	l, err := a.Listen(ctx, d.cfg.Listen, serveListen)
	if err != nil {
		return err
	}
	url := "http://" + l.Addr().String()
	if secure != nil {
		url = "https://" + l.Addr().String()
	}
	if err := a.announceAPI(l.Addr(), url, secure != nil); err != nil {
		_ = l.Close()
		return err
	}
	if debug.SetMemoryLimit(-1) == math.MaxInt64 { // GOMEMLIMIT is not set
		debug.SetMemoryLimit(serveMemory)
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { handler.Run(background) })
	if hooks != nil {
		running.Go(func() { hooks.Run(background) })
	}
	log.Info().Str("version", a.Build.Version).Str("url", url).Msg("serving the API")
	err = cli.Serve(ctx, l, secure, handler, cli.ShutdownTimeout, handler.Close)
	stop()
	running.Wait()
	log.Info().Msg("stopped serving the API")
	return err
}

// announceAPI prints the URL, and warns if keys and personal data would cross a network unencrypted.
func (a *app) announceAPI(addr net.Addr, url string, secure bool) error {
	if !secure && !loopback.Is(addr.String()) {
		a.Warn("the API serves plain HTTP to other machines: set KYCQ_TLS_CERT_FILE and KYCQ_TLS_KEY_FILE, or put a TLS proxy in front of it")
	}
	return a.Answer(map[string]string{"url": url}, func() string { return url + "\n" })
}

// openKeys reads the keys. Those of a file are read again when it changes.
func openKeys(cfg *config.Config, log zerolog.Logger) (*api.Keys, error) {
	if cfg.APIKeys.Empty() {
		return nil, cli.Usagef("the API needs keys: run `kycq serve key --name NAME --scope submit,read --file api.keys` and set KYCQ_API_KEYS_FILE=api.keys")
	}
	keys := &api.Keys{Log: log}
	if path := cfg.FileOf("api_keys"); path != "" {
		keys.Read = func() ([]byte, error) { return os.ReadFile(path) }
	}
	keys.Set(cfg.APIKeys.Reveal())
	return keys, nil
}

// openCertificate returns nil without a certificate.
func openCertificate(cfg *config.Config, log zerolog.Logger) (*tls.Config, error) {
	if cfg.TLSCert.Empty() {
		return nil, nil
	}
	read := func(name, text string) ([]byte, error) {
		if path := cfg.FileOf(name); path != "" {
			return os.ReadFile(path)
		}
		return []byte(text), nil
	}
	certificate := &api.Certificate{Log: log, Read: func() (cert, key []byte, err error) {
		cert, certErr := read("tls_cert", cfg.TLSCert.Reveal())
		key, keyErr := read("tls_key", cfg.TLSKey.Reveal())
		return cert, key, errors.Join(certErr, keyErr)
	}}
	secure, err := certificate.TLS()
	if err != nil {
		return nil, cli.UsageError(fmt.Errorf("%w: the files must hold the certificate with its chain and its private key (PEM)", err))
	}
	return secure, nil
}
