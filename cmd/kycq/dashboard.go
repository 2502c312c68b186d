package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/dashboard"
	"github.com/kycq/kycq/internal/loopback"
	"github.com/kycq/kycq/internal/wire"
)

const dashboardListen = "127.0.0.1:8081"

func newDashboard(a *app) *cobra.Command {
	var operate, noLogin bool
	cmd := cli.Uses(&cobra.Command{
		Use:   "dashboard",
		Short: "serve asynq's monitoring page, with a login",
		Long: `dashboard serves asynqmon under /asynqmon (KYCQ_DASHBOARD_PATH): queues, tasks, workers and Redis. It hides payloads and
errors that may contain personal data. Users (KYCQ_DASHBOARD_USERS_FILE) log in with a form, for 8 hours at most; programs use
HTTP basic authentication or a bearer token (KYCQ_DASHBOARD_TOKEN_FILE).

It is read-only without --operate. With it, each change is first entered into the audit trail in the records bucket, with
the name of the login; if that fails, the change is refused.

It serves plain HTTP. For access from other machines, put a TLS proxy in front of it, and list its address in
KYCQ_DASHBOARD_PROXIES: failed logins are limited and logged by the address of the client then.`,
		Example: `  kycq dashboard hash --user asha >> dashboard.users; chmod 600 dashboard.users
  KYCQ_DASHBOARD_USERS_FILE=dashboard.users kycq dashboard
  kycq dashboard --dashboard-users-file dashboard.users --operate --prometheus-url http://127.0.0.1:9090`,
		Args: cobra.NoArgs,
		RunE: a.Command(func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.Settings(cmd)
			if err != nil {
				return err
			}
			return a.serveDashboard(cmd.Context(), cfg, operate, noLogin)
		}),
	}, config.Redis, config.S3, config.Dashboard, config.Audit, config.Listen, config.Log)
	cmd.Flags().BoolVar(&operate, "operate", false, "allow changes: pause queues; run, archive and delete tasks")
	cmd.Flags().BoolVar(&noLogin, "no-login", false, "require no login; works on a loopback address only")
	cmd.AddCommand(newDashboardHash(a))
	return cmd
}

func (a *app) serveDashboard(ctx context.Context, cfg *config.Config, operate, noLogin bool) error {
	login, err := openLogin(cfg, noLogin)
	if err != nil {
		return err
	}
	log, err := a.Logger(cfg)
	if err != nil {
		return err
	}
	rdb, err := wire.OpenRedis(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = rdb.Close() }()
	// asynqmon requests Prometheus with the default client, which has no timeout.
	http.DefaultClient.Timeout = prometheusTimeout
	enter, err := auditOfDashboard(ctx, cfg, operate, login == nil)
	if err != nil {
		return err
	}
	page, err := dashboard.New(dashboard.Config{
		Redis: rdb, Path: cfg.DashboardPath, Origin: cfg.DashboardOrigin, Proxies: cfg.DashboardProxies, Login: login, Operate: operate, PrometheusURL: cfg.PrometheusURL, Audit: enter, Log: log,
	})
	if err != nil {
		return cli.UsageError(err)
	}
	l, err := a.Listen(ctx, cfg.Listen, dashboardListen)
	if err != nil {
		return err
	}
	if err := a.announceDashboard(l.Addr(), cfg.DashboardPath, login == nil); err != nil {
		_ = l.Close()
		return err
	}
	return cli.Serve(ctx, l, nil, page, cli.ShutdownTimeout, nil)
}

// auditOfDashboard returns what enters changes into the audit trail: with the name of the login, or of the operator if there
// is none. Without the keyset, which a dashboard should not have, its events carry no MAC: its host is another, because the chain of
// a person who also runs commands on this machine has MACs, and kycq audit verify reports an event without one as forged.
func auditOfDashboard(ctx context.Context, cfg *config.Config, operate, noLogin bool) (func(context.Context, string, map[string]string) error, error) {
	if !operate {
		return nil, nil
	}
	store, err := wire.OpenStore(ctx, cfg)
	if err != nil {
		return nil, err
	}
	operator, host, err := wire.Operator(cfg)
	if err != nil && (noLogin || !errors.Is(err, audit.ErrNoName)) {
		return nil, err
	}
	return func(ctx context.Context, user string, detail map[string]string) error {
		if noLogin {
			user = operator
		}
		_, err := wire.AppendAudit(ctx, cfg, store, user, "dashboard."+host, audit.Act{Action: "dashboard.change", Detail: detail})
		return err
	}, nil
}

const prometheusTimeout = 10 * time.Second

// openLogin returns nil if noLogin.
func openLogin(cfg *config.Config, noLogin bool) (*dashboard.Login, error) {
	given := !cfg.DashboardUsers.Empty() || !cfg.DashboardToken.Empty()
	switch {
	case noLogin && given:
		return nil, cli.Usagef("--no-login contradicts KYCQ_DASHBOARD_USERS and KYCQ_DASHBOARD_TOKEN: drop one")
	case noLogin:
		return nil, nil
	case !given:
		return nil, cli.Usagef("the dashboard needs a login: run `kycq dashboard hash --user NAME >> dashboard.users; chmod 600 dashboard.users` and set " +
			"KYCQ_DASHBOARD_USERS_FILE=dashboard.users (or KYCQ_DASHBOARD_TOKEN_FILE; for this machine alone: --no-login)")
	}
	login, err := dashboard.NewLogin(cfg.DashboardUsers, cfg.DashboardToken)
	if err != nil {
		return nil, cli.UsageError(err)
	}
	return login, nil
}

// announceDashboard prints the URL. It refuses an address that other machines reach without a login.
func (a *app) announceDashboard(addr net.Addr, path string, noLogin bool) error {
	local := loopback.Is(addr.String())
	switch {
	case noLogin && !local:
		return cli.Usagef("--no-login works on a loopback address only, not on %s", addr)
	case !local:
		a.Warn("the dashboard serves plain HTTP to other machines: put a TLS proxy in front of it")
	}
	url := fmt.Sprintf("http://%s%s", addr, path)
	return a.Answer(map[string]string{"url": url}, func() string { return url + "\n" })
}
