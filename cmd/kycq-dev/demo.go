package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/dev/devstack"
	"github.com/kycq/kycq/internal/dev/simulator"
	"github.com/kycq/kycq/internal/redact"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/internal/wire"
	"github.com/kycq/kycq/storage"
)

func newDemo(a *app) *cobra.Command {
	var dir string
	var keep, serve bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "run an end-to-end demo with invented data",
		Long: `demo starts an embedded Redis, an S3 store, a simulator of Cashfree and one worker in this process, processes 24 invented
Aadhaar cards and 40 invented passports, and prints the outcomes. Some rows fail on purpose (a PDF, an unreadable card,
malformed passports), and some calls fail first and are retried. It needs nothing installed, sends nothing beyond this
machine, and takes about ten seconds. Images, records and the log remain in a folder.

With --serve, programs can try the HTTP API. The URL and the token of a key are in the folder's file env, as DEMO_URL and
DEMO_TOKEN. The end of a passport's file_number decides its result:

  ...0000          invalid
  ...0001          valid, with another name
  ...0002          valid, with another date of birth
  ...0003          valid, with another name and another date of birth
  anything else    valid

Passports that are not 1 to 20 letters and digits, or have a dob in the future, are refused with 422. Images: the files
in examples/cards; unreadable.jpg ends invalid, another one valid.`,
		Example: "  kycq-dev demo\n  kycq-dev demo --dir /tmp/kycq-demo --keep\n  kycq-dev demo --serve",
		Args:    cobra.NoArgs,
		RunE: a.Command(func(cmd *cobra.Command, _ []string) error {
			return a.demo(cmd.Context(), dir, keep || serve, serve)
		}),
	}
	cmd.Flags().StringVar(&dir, "dir", "kycq-demo", "folder for images, records and the log; that of an earlier demo is overwritten")
	cmd.Flags().BoolVar(&keep, "keep", false, "keep everything running until Ctrl-C, to try other commands")
	cmd.Flags().BoolVar(&serve, "serve", false, "serve the HTTP API, too, until Ctrl-C; it implies --keep")
	return cmd
}

const (
	// demoTime ends a demo that hangs; it takes seconds.
	demoTime = 3 * time.Minute
	// demoRate and demoRetryBase make the demo short.
	demoRate      = "600/m"
	demoCalls     = 600
	demoRetryBase = "500ms"
	// demoTimeout covers a slow machine: a call that times out would change the outcomes.
	demoTimeout = "2m"
)

// demo is a running demo.
type demo struct {
	dir    string
	stack  *devstack.Stack
	env    []string
	store  *storage.Store
	worker *wire.Worker
	log    *os.File
}

func (a *app) demo(ctx context.Context, dir string, keep, serve bool) error {
	rows, err := exampleRows()
	if err != nil {
		return err
	}
	if err := emptyDemoFolder(dir); err != nil {
		return err
	}
	d, err := startDemo(ctx, dir, a.Build)
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	worked := make(chan error, 1)
	go func() { worked <- d.worker.Run(working) }()
	err = a.runDemo(ctx, d, rows)
	if err == nil && keep {
		err = a.keepDemo(ctx, d, serve)
	}
	stop()
	return errors.Join(err, <-worked, d.Close())
}

// runDemo submits the rows, waits for their records, and prints the report.
func (a *app) runDemo(parent context.Context, d *demo, rows []*demoRow) error {
	ctx, cancel := context.WithTimeoutCause(parent, demoTime, fmt.Errorf("the demo did not complete within %s: see %s", demoTime, d.log.Name()))
	defer cancel()
	began := time.Now()
	if err := d.scriptFaults(); err != nil {
		return err
	}
	for _, row := range rows {
		if err := row.submit(ctx, d); err != nil {
			return fmt.Errorf("submit %s: %w", row.ID, err)
		}
	}
	if err := a.watchDemo(ctx, d, rows); err != nil {
		if parent.Err() == nil && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	return a.printDemo(d, rows, time.Since(began))
}

// demoMark marks the folder of a demo, which may be overwritten.
const demoMark = ".kycq-demo"

func emptyDemoFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist), err == nil && len(entries) == 0:
	case err != nil:
		return fmt.Errorf("demo folder: %w", err)
	default:
		if _, err := os.Stat(filepath.Join(dir, demoMark)); err != nil {
			return cli.Usagef("--dir: %s is not empty and not an earlier demo's: choose another folder", dir)
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("demo folder: %w", err)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("demo folder: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, demoMark), nil, 0o600)
}

func startDemo(ctx context.Context, dir string, build cli.Build) (*demo, error) {
	d := &demo{dir: dir}
	if err := d.start(ctx, build); err != nil {
		return nil, errors.Join(fmt.Errorf("start the demo: %w", err), d.Close())
	}
	return d, nil
}

func (d *demo) start(ctx context.Context, build cli.Build) error {
	keyset := filepath.Join(d.dir, "keyset.json")
	if err := writeKeyset(keyset); err != nil {
		return err
	}
	var err error
	if d.stack, err = devstack.Start(devstack.Config{Dir: d.dir, Simulator: simulator.Config{
		Limit: demoCalls, Latency: 50 * time.Millisecond, LedgerPath: filepath.Join(d.dir, "simulator.jsonl"),
	}}); err != nil {
		return err
	}
	d.env = []string{
		"KYCQ_REDIS_URL=" + d.stack.RedisURL, "KYCQ_S3_ENDPOINT=" + d.stack.S3Endpoint, "KYCQ_CASHFREE_URL=" + d.stack.CashfreeURL,
		"KYCQ_CASHFREE_CLIENT_ID=" + devstack.Credentials, "KYCQ_CASHFREE_CLIENT_SECRET=" + devstack.Credentials,
		"KYCQ_IMAGE_HOSTS=" + d.stack.SimulatorHost, "KYCQ_KEYSET_FILE=" + keyset,
		"KYCQ_AADHAAR_RATE=" + demoRate, "KYCQ_PASSPORT_RATE=" + demoRate, "KYCQ_RETRY_BASE=" + demoRetryBase, "KYCQ_CASHFREE_TIMEOUT=" + demoTimeout,
	}
	cfg, err := config.Load(config.Sources{Environ: d.env})
	if err != nil {
		return err
	}
	if d.store, err = storage.Open(ctx, storage.Config{
		Endpoint: cfg.S3Endpoint, AccessKeyID: devstack.Credentials, SecretAccessKey: redact.NewSecret(devstack.Credentials), Webhooks: true,
	}); err != nil {
		return err
	}
	if _, err := d.store.Buckets().Init(ctx); err != nil {
		return err
	}
	if d.log, err = os.OpenFile(filepath.Join(d.dir, "worker.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return err
	}
	if d.worker, err = wire.NewWorker(ctx, cfg, d.store, build, zerolog.New(d.log).With().Timestamp().Logger()); err != nil {
		return err
	}
	return d.worker.Install(ctx, func(string, string) error { return nil }) // its buckets are new
}

func writeKeyset(path string) error {
	keyset, err := seal.Generate()
	if err != nil {
		return err
	}
	doc, err := keyset.Marshal()
	if err != nil {
		return err
	}
	return os.WriteFile(path, doc, 0o600)
}

// Close stops everything, in reverse order.
func (d *demo) Close() error {
	var errs []error
	if d.worker != nil {
		d.worker.Close()
	}
	if d.stack != nil {
		errs = append(errs, d.stack.Close())
	}
	if d.log != nil {
		errs = append(errs, d.log.Close())
	}
	return errors.Join(errs...)
}

// keepDemo writes the settings of the stack to a file and waits for Ctrl-C.
func (a *app) keepDemo(ctx context.Context, d *demo, serve bool) (err error) {
	if serve {
		stop, serveErr := d.serve(ctx, a)
		if serveErr != nil {
			return fmt.Errorf("serve the API: %w", serveErr)
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	path := filepath.Join(d.dir, "env")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write the demo's environment: %w", err)
	}
	out := bufio.NewWriter(f)
	for _, entry := range append(d.env, "AWS_ACCESS_KEY_ID="+devstack.Credentials, "AWS_SECRET_ACCESS_KEY="+devstack.Credentials) {
		_, _ = fmt.Fprintf(out, "export %s\n", entry) // Flush returns the error
	}
	if err := errors.Join(out.Flush(), f.Close()); err != nil {
		return fmt.Errorf("write the demo's environment: %w", err)
	}
	a.Note("\neverything keeps running until Ctrl-C. In another terminal:\n\n  . %s\n  kycq job show specimen-01-pvc-scan", path)
	if serve {
		a.Note("\nthe API: curl -H \"Authorization: Bearer $DEMO_TOKEN\" $DEMO_URL/v1/jobs/passport/passport-01\n(also $DEMO_URL/docs)")
	}
	<-ctx.Done()
	return nil
}
