package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// listen opens the command's HTTP address. One that was asked for and is in use is an error; the default gives way to
// any free port of the same host, with a warning, so that two workers on one machine need no settings.
func (a *app) listen(ctx context.Context, asked, byDefault string) (net.Listener, error) {
	var lc net.ListenConfig
	if asked != "" {
		l, err := lc.Listen(ctx, "tcp", asked)
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
	a.warn(fmt.Sprintf("%s is in use: listening on %s instead (choose with --listen)", byDefault, l.Addr()))
	return l, nil
}
