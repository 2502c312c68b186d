package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
)

// healthTimeout is shorter than the timeout of container engines, so that the reason is printed.
const healthTimeout = 2 * time.Second

func newHealthcheck(a *app) *cobra.Command {
	var path string
	cmd := cli.Uses(&cobra.Command{
		Use:   "healthcheck",
		Short: "check a worker, dashboard or API server on this machine (for containers)",
		Long: `healthcheck requests the health of the HTTP server on KYCQ_LISTEN (default: the worker's default address), and exits with 0
if it is healthy, by HTTPS if the server speaks that. A worker, or kycq serve, is unhealthy while it shuts down or cannot reach Redis. A dashboard is healthy if
it responds.`,
		Example: `  kycq healthcheck
  kycq healthcheck --listen 127.0.0.1:8081
  kycq healthcheck --path /livez`,
		Args: cobra.NoArgs,
		RunE: a.Command(func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.Settings(cmd)
			if err != nil {
				return err
			}
			address := cfg.Listen
			if address == "" {
				address = workerListen
			}
			return a.checkHealth(cmd.Context(), "http://"+localAddress(address)+path)
		}),
	}, config.Listen)
	cmd.Flags().StringVar(&path, "path", "/readyz", "path to request: /readyz or /livez")
	return cmd
}

type healthView struct {
	OK     bool   `json:"ok"`
	Status int    `json:"status"`
	Answer string `json:"answer"`
}

func (a *app) checkHealth(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return cli.UsageError(err)
	}
	// Without proxy and keep-alive. The certificate of kycq serve is for its public name.
	resp, err := (&http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}).RoundTrip(req) //nolint:gosec // nothing is sent
	if err != nil {
		return cli.WithCode(cli.ExitUnreachable, fmt.Errorf("healthcheck: %w", err))
	}
	defer resp.Body.Close()
	if rest, plain := strings.CutPrefix(url, "http://"); plain && resp.StatusCode == http.StatusBadRequest { // kycq serve by HTTPS
		return a.checkHealth(ctx, "https://"+rest)
	}
	const enough = 200
	body, _ := io.ReadAll(io.LimitReader(resp.Body, enough))
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	view := healthView{OK: resp.StatusCode < http.StatusInternalServerError, Status: resp.StatusCode, Answer: line}
	err = a.Answer(view, func() string { return fmt.Sprintf("%d %s\n", view.Status, view.Answer) })
	if err == nil && !view.OK {
		return cli.Exit(cli.ExitFailure)
	}
	return err
}

// localAddress returns the address at which this machine reaches a server that listens on address.
func localAddress(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
