package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"golang.org/x/net/netutil"
)

// Listen opens the HTTP address of a command: that of the setting or, if it is empty, the default. If the default is in use,
// Listen warns and takes a free port of the same host: two workers on one machine need no settings.
func (a *App) Listen(ctx context.Context, setting, byDefault string) (net.Listener, error) {
	var lc net.ListenConfig
	if setting != "" {
		l, err := lc.Listen(ctx, "tcp", setting)
		if err != nil {
			return nil, fmt.Errorf("listen (KYCQ_LISTEN): %w", err)
		}
		return l, nil
	}
	l, err := lc.Listen(ctx, "tcp", byDefault)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return l, err
	}
	host, _, err := net.SplitHostPort(byDefault)
	if err != nil {
		return nil, err
	}
	if l, err = lc.Listen(ctx, "tcp", net.JoinHostPort(host, "0")); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	a.Warn(fmt.Sprintf("%s is in use: listening on %s instead (choose with --listen)", byDefault, l.Addr()))
	return l, nil
}

// Limits of every HTTP server, against clients that are slow or many. A profile of a worker, a report or an image may take minutes.
const (
	headerTimeout  = 10 * time.Second
	readTimeout    = 5 * time.Minute
	writeTimeout   = 5 * time.Minute
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
	maxConnections = 1024
	maxStreams     = 32 // of a connection by HTTP/2
	streamBuffer   = 64 << 10
)

// ShutdownTimeout is the usual grace of Serve.
const ShutdownTimeout = 10 * time.Second

// Serve answers requests until ctx ends, and closes connections whose requests do not complete within grace after that.
// When ctx ends, it calls closeHandler first, which can release requests that hang; it may be nil. With secure, it speaks TLS.
func Serve(ctx context.Context, l net.Listener, secure *tls.Config, h http.Handler, grace time.Duration, closeHandler func() error) error {
	if closeHandler == nil {
		closeHandler = func() error { return nil }
	}
	srv := newServer(h)
	srv.TLSConfig = secure
	l = netutil.LimitListener(l, maxConnections)
	serve := srv.Serve
	if secure != nil {
		serve = func(l net.Listener) error { return srv.ServeTLS(l, "", "") }
	}
	failed := make(chan error, 1)
	go func() { failed <- serve(l) }()
	select {
	case err := <-failed:
		return errors.Join(fmt.Errorf("serve: %w", err), closeHandler())
	case <-ctx.Done():
	}
	closed := closeHandler()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := srv.Shutdown(stopping); err != nil {
		_ = srv.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		closed = errors.Join(closed, fmt.Errorf("serve: %w", err))
	}
	return closed
}

func newServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: log.New(serverLog{os.Stderr}, "", log.LstdFlags),
		// Bodies that wait to be read must leave room in their connection for those that are read.
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerStream: streamBuffer, MaxReceiveBufferPerConnection: maxStreams * streamBuffer,
		},
	}
}

// serverLog leaves out handshakes that fail: each health check by plain HTTP, and each probe of a port, would be a line.
type serverLog struct{ to io.Writer }

func (l serverLog) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("http: TLS handshake error")) {
		return len(line), nil
	}
	return l.to.Write(line)
}
