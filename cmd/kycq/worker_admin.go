package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/admin"
	"github.com/kycq/kycq/internal/metrics"
	"github.com/kycq/kycq/tasks"
)

// workerListen is the default address of the admin listener. It has no login, so a wider one is for closed networks.
const workerListen = "127.0.0.1:8080"

// openAdmin builds what the admin listener shows.
func (f *fleet) openAdmin() error {
	build := readBuild()
	var err error
	f.metrics, err = metrics.New(metrics.Config{
		Redis: f.redis, Gate: f.gate, Queues: append(tasks.Queues(), feedQueue), Version: build.Version, Commit: build.Commit,
	})
	if err != nil {
		return err
	}
	f.admin = admin.New(admin.Config{
		Ping:    func(ctx context.Context) error { return f.redis.Ping(ctx).Err() },
		Metrics: f.metrics.Handler(),
	})
	return nil
}

// serveAdmin answers on the listener until stop. When ctx ends the worker is shutting down: it is not ready any more, and
// alive until the end.
func (f *fleet) serveAdmin(ctx context.Context, l net.Listener, log zerolog.Logger) (stop func()) {
	const (
		headerTime = 10 * time.Second
		stopTime   = 2 * time.Second
	)
	log.Info().Str("address", l.Addr().String()).Msg("health and metrics are served")
	undrain := context.AfterFunc(ctx, f.admin.Drain)
	srv := &http.Server{Handler: f.admin, ReadHeaderTimeout: headerTime}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error().Err(err).Msg("health and metrics are not served any more: the worker goes on")
		}
	}()
	return func() {
		undrain()
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		if err := srv.Shutdown(stopping); err != nil {
			_ = srv.Close()
		}
		<-ended
	}
}
