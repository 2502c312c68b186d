package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/api"
	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/webhooks"
	"github.com/kycq/kycq/storage"
)

var webhookAreas = []config.Area{config.Redis, config.S3, config.Webhooks}

func newWebhooks(a *app) *cobra.Command {
	return a.Group(&cobra.Command{
		Use:   "webhooks",
		Short: "inspect and repeat the events that kycq serve delivers",
		Long: `kycq serve sends events to the endpoints in KYCQ_WEBHOOKS_FILE, by the Standard Webhooks specification. An endpoint:

  - name: app1
    url: https://app1.example.com/kycq
    secret_file: app1.secret        # a secret a line, the newest first: kycq webhooks secret
    events: [job.finished]          # without it: all events
    kinds: [passport]               # without it: both
    allow_private: false            # true: private addresses and plain HTTP are allowed

Events: ` + strings.Join(storage.Events(), ", ") + `. Each is delivered at least once (a hold
that lasts less than 5 seconds may have no events; fleet.resumed may wait for the next worker), and repeated with the same
webhook-id until the endpoint answers 2xx: after 5 seconds first, then after up to 6 hours, for 3 days. An endpoint that
answers 410, or fails for 3 days, is stopped; its events stay in S3 for 30 days. All servers must have the same file.
To end all webhooks, empty the file before you remove the setting.`,
	}, newWebhooksSecret(a), newWebhooksList(a), newWebhooksDeliveries(a), newWebhooksTest(a), newWebhooksResend(a))
}

// loadEndpoints reads the endpoints; nil without the setting.
func loadEndpoints(cfg *config.Config) func() ([]webhooks.Endpoint, error) {
	if path := cfg.FileOf("webhooks"); path != "" {
		return func() ([]webhooks.Endpoint, error) {
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("read the webhook endpoints: %w", err)
			}
			return webhooks.Parse(text, filepath.Dir(path))
		}
	}
	if cfg.Webhooks.Empty() {
		return nil
	}
	return func() ([]webhooks.Endpoint, error) { return webhooks.Parse([]byte(cfg.Webhooks.Reveal()), ".") }
}

// deliverer builds the delivery of events; nil without endpoints.
func (a *app) deliverer(d *deps, log zerolog.Logger) (*webhooks.Deliverer, error) {
	load := loadEndpoints(d.cfg)
	if load == nil {
		return nil, nil
	}
	if _, err := load(); err != nil {
		return nil, cli.UsageError(err)
	}
	return &webhooks.Deliverer{
		Store: d.store, Redis: d.redis, Load: load, Job: api.WebhookData, Client: a.webhookClient(), Log: log,
	}, nil
}

func (a *app) webhookClient() webhooks.Client {
	return webhooks.NewClient(a.Build.Version, cashfree.PublicOnly)
}

// endpointsOf reads the endpoints, or those of one name.
func endpointsOf(d *deps, name string) ([]webhooks.Endpoint, error) {
	load := loadEndpoints(d.cfg)
	if load == nil {
		return nil, cli.Usagef("set KYCQ_WEBHOOKS_FILE to the file of endpoints (kycq webhooks --help)")
	}
	list, err := load()
	if err != nil {
		return nil, cli.UsageError(err)
	}
	if name == "" {
		return list, nil
	}
	i := slices.IndexFunc(list, func(e webhooks.Endpoint) bool { return e.Name == name })
	if i < 0 {
		return nil, cli.Usagef("there is no endpoint of this name (kycq webhooks list)")
	}
	return list[i : i+1], nil
}

func newWebhooksSecret(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "secret", Short: "make a secret with which messages are signed",
		Long: `secret prints a new secret for the secret_file of an endpoint and for its receiver. To rotate it, put the new one in the first line,
give it to the receiver, and remove the old line: messages are signed with both meanwhile.`,
		Example: "  umask 077; kycq webhooks secret > app1.secret", Args: cobra.NoArgs,
		RunE: a.Command(func(*cobra.Command, []string) error {
			secret := webhooks.NewSecret()
			return a.Answer(map[string]string{"secret": secret}, func() string { return secret + "\n" })
		}),
	}
}

// webhookStatus is an endpoint as list shows it.
type webhookStatus struct {
	Name   string    `json:"name"`
	Events []string  `json:"events"`
	Kinds  []string  `json:"kinds"`
	State  string    `json:"state"` // ok, failing or stopped
	Why    string    `json:"why,omitempty"`
	Since  time.Time `json:"failing_since,omitzero"`
	Owed   int       `json:"owed"`
}

func stateOf(s redisx.EndpointState) (state, why string) {
	switch {
	case s.Stopped != "":
		return "stopped", s.Stopped
	case s.Failures > 0:
		return "failing", s.Last
	}
	return "ok", ""
}

func newWebhooksList(a *app) *cobra.Command {
	return a.command(tolerant(&cobra.Command{
		Use: "list", Short: "list the endpoints, their state, and how many events are owed to them", Args: cobra.NoArgs,
		Example: "  kycq webhooks list\n  kycq webhooks list --json | jq .endpoints[].state",
	}), webhookAreas, func(ctx context.Context, d *deps, _ []string) error {
		list, err := endpointsOf(d, "")
		if err != nil {
			return err
		}
		states, err := redisx.Endpoints(ctx, d.redis)
		if err != nil {
			return err
		}
		shown := []webhookStatus{}
		for _, e := range list {
			s := webhookStatus{Name: e.Name, Events: e.Events, Kinds: e.Kinds, Since: states[e.Name].Since}
			s.State, s.Why = stateOf(states[e.Name])
			for _, err := range d.store.Owed(ctx, e.Name) {
				if err != nil {
					return err
				}
				s.Owed++
			}
			shown = append(shown, s)
		}
		return a.Answer(map[string]any{"endpoints": shown}, func() string {
			lines := []string{"NAME\tSTATE\tOWED\tEVENTS\tKINDS\tWHY"}
			all := func(list []string) string {
				if len(list) == 0 {
					return "all"
				}
				return strings.Join(list, ",")
			}
			for _, s := range shown {
				lines = append(lines, fmt.Sprintf("%s\t%s\t%d\t%s\t%s\t%s", s.Name, s.State, s.Owed, all(s.Events), all(s.Kinds), s.Why))
			}
			return cli.Table(lines)
		})
	})
}

func newWebhooksDeliveries(a *app) *cobra.Command {
	var last bool
	cmd := a.command(tolerant(&cobra.Command{
		Use: "deliveries [NAME]", Short: "list the events that are not delivered yet, or the last deliveries", Args: cobra.MaximumNArgs(1),
		Long: `deliveries lists the events that are owed. With --last it lists the last 100 tries to deliver to each endpoint, the newest first, and their
results. These are in Redis only: they are lost with its data.`,
		Example: "  kycq webhooks deliveries\n  kycq webhooks deliveries app1 --last --json",
	}), webhookAreas, func(ctx context.Context, d *deps, args []string) error {
		list, err := endpointsOf(d, strings.Join(args, ""))
		if err != nil {
			return err
		}
		shown := []redisx.Delivery{}
		for _, to := range list {
			if last {
				tries, err := redisx.Deliveries(ctx, d.redis, to.Name)
				if err != nil {
					return err
				}
				shown = append(shown, tries...)
				continue
			}
			for e, err := range d.store.Owed(ctx, to.Name) {
				if err != nil {
					return err
				}
				shown = append(shown, redisx.Delivery{Endpoint: to.Name, Event: e.Name, Kind: e.Kind, ID: e.ID, Run: e.Run, At: e.At})
			}
		}
		if len(shown) == 0 && !last {
			a.Note("all events are delivered")
		}
		return a.Answer(map[string]any{"deliveries": shown}, func() string {
			if len(shown) == 0 {
				return ""
			}
			lines := []string{"ENDPOINT\tEVENT\tKIND\tID\tRUN\tAT"}
			if last {
				lines[0] += "\tSENT\tTRY\tRESULT"
			}
			for _, o := range shown {
				line := fmt.Sprintf("%s\t%s\t%s\t%s\t%d\t%s", o.Endpoint, o.Event, o.Kind, o.ID, o.Run, stamp(o.At))
				if last {
					line += fmt.Sprintf("\t%s\t%d\t%s", stamp(o.SentAt), o.Try, o.Result)
				}
				lines = append(lines, line)
			}
			return cli.Table(lines)
		})
	})
	cmd.Flags().BoolVar(&last, "last", false, "list the last tries and their results")
	return cmd
}

func newWebhooksTest(a *app) *cobra.Command {
	return a.command(tolerant(&cobra.Command{
		Use: "test NAME", Short: "send a test message to an endpoint", Args: cobra.ExactArgs(1),
		Long: `test sends a signed message of the type webhook.test from this machine. If the endpoint answers 2xx, deliveries to one that was
stopped go on.`,
		Example: "  kycq webhooks test app1",
	}), webhookAreas, func(ctx context.Context, d *deps, args []string) error {
		list, err := endpointsOf(d, args[0])
		if err != nil {
			return err
		}
		if err := a.webhookClient().Test(ctx, list[0], time.Now()); err != nil {
			return fmt.Errorf("the endpoint does not take messages: %w: correct its line or the receiver, and test it again", err)
		}
		if err := redisx.SetEndpoint(ctx, d.redis, args[0], redisx.EndpointState{}); err != nil {
			return err
		}
		return a.Answer(map[string]string{"endpoint": args[0], "result": "ok"}, func() string { return args[0] + ": ok\n" })
	})
}

func newWebhooksResend(a *app) *cobra.Command {
	var since time.Duration
	cmd := a.command(&cobra.Command{
		Use: "resend [NAME] --since DURATION", Short: "deliver the events of a period again", Args: cobra.MaximumNArgs(1),
		Long: `resend makes kycq serve deliver again what jobs and batches have ended in the period, to one endpoint or to all that want
it. The messages have the webhook-id of the first delivery. Events of the fleet are not repeated.`,
		Example: "  kycq webhooks resend --since 24h\n  kycq webhooks resend app1 --since 90m",
	}, webhookAreas, func(ctx context.Context, d *deps, args []string) error {
		if since <= 0 {
			return cli.Usagef("--since: how far to go back, for example 24h")
		}
		list, err := endpointsOf(d, strings.Join(args, ""))
		if err != nil {
			return err
		}
		n, err := webhooks.Resend(ctx, d.store, list, since)
		if err != nil {
			return fmt.Errorf("%w: %d events are marked for delivery; repeat the command", err, n)
		}
		return a.Answer(map[string]int{"events": n}, func() string { return count(n, "event") + " will be delivered again by kycq serve\n" })
	})
	cmd.Flags().DurationVar(&since, "since", 0, "how far to go back (required)")
	return cmd
}

// brokenEndpoints describes the endpoints that fail or are stopped, for status.
func brokenEndpoints(states map[string]redisx.EndpointState) []webhookStatus {
	broken := []webhookStatus{}
	for name, s := range states {
		b := webhookStatus{Name: name, Since: s.Since}
		b.State, b.Why = stateOf(s)
		broken = append(broken, b)
	}
	slices.SortFunc(broken, func(a, b webhookStatus) int { return strings.Compare(a.Name, b.Name) })
	return broken
}

func (s webhookStatus) text() string {
	text := fmt.Sprintf("webhook endpoint %s is %s since %s: %s", s.Name, s.State, stamp(s.Since), s.Why)
	if s.State == "stopped" {
		text += "; correct it, then run: kycq webhooks test " + s.Name
	}
	return text + "\n"
}
