package main

import (
	"context"
	"net"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/api"
	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/wire"
)

const demoListen = "127.0.0.1:8082"

// serve serves the HTTP API on the demo's stack until ctx ends. It adds the URL and the token of a key to the environment.
func (d *demo) serve(ctx context.Context, a *app) (stop func() error, err error) {
	cfg, err := config.Load(config.Sources{Environ: d.env})
	if err != nil {
		return nil, err
	}
	keyset, err := wire.OpenKeyset(cfg)
	if err != nil {
		return nil, err
	}
	rdb, err := wire.OpenRedis(ctx, cfg)
	if err != nil {
		return nil, err
	}
	log := zerolog.New(d.log).With().Timestamp().Logger()
	gate, err := wire.OpenGate(rdb, cfg, nil, log)
	if err != nil {
		_ = rdb.Close()
		return nil, err
	}
	token := api.NewToken()
	line, err := api.KeyLine("demo", api.Scopes(), time.Time{}, token)
	keys := &api.Keys{Log: log}
	keys.Set(line)
	var handler *api.API
	if err == nil {
		handler, err = api.New(api.Config{
			Store: d.store, Client: d.worker.Client, Keyset: keyset, Redis: rdb, Gate: gate, Pauses: wire.OpenPauses(d.store, rdb, gate, log), Keys: keys, Log: log,
			Audit: func(ctx context.Context, user string, act audit.Act) error {
				_, err := wire.AppendAudit(ctx, cfg, d.store, user, "demo", act)
				return err
			},
		})
	}
	var l net.Listener
	if err == nil {
		l, err = a.Listen(ctx, "", demoListen)
	}
	if err != nil {
		gate.Close()
		_ = rdb.Close()
		return nil, err
	}
	d.env = append(d.env, "DEMO_URL=http://"+l.Addr().String(), "DEMO_TOKEN="+token)
	serving, end := context.WithCancel(ctx)
	var group errgroup.Group
	group.Go(func() error { handler.Run(serving); return nil })
	group.Go(func() error { return cli.Serve(serving, l, nil, handler, cli.ShutdownTimeout, handler.Close) })
	return func() error {
		end()
		err := group.Wait()
		gate.Close()
		_ = rdb.Close()
		return err
	}, nil
}
