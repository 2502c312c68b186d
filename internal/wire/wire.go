// Package wire builds the parts of a kycq process from its settings. Errors in settings have the exit code of usage
// errors. Only commands import it.
package wire

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/pauses"
	"github.com/kycq/kycq/internal/rate"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// OpenRedis builds the client that the whole process shares. It returns an error if kycq cannot use the server.
func OpenRedis(ctx context.Context, cfg *config.Config) (redis.UniversalClient, error) {
	client, err := NewRedis(cfg)
	if err != nil {
		return nil, err
	}
	if err := redisx.Usable(ctx, client); err != nil {
		_ = client.Close()
		return nil, fmt.Errorf("redis (KYCQ_REDIS_URL): %w", err)
	}
	return client, nil
}

// NewRedis builds the client without connecting.
func NewRedis(cfg *config.Config) (redis.UniversalClient, error) {
	client, err := redisx.Open(cfg.RedisURL)
	if err != nil {
		return nil, cli.UsageError(fmt.Errorf("KYCQ_REDIS_URL: %w", err))
	}
	return client, nil
}

// OpenStore builds the store without connecting.
func OpenStore(ctx context.Context, cfg *config.Config) (*storage.Store, error) {
	store, err := storage.Open(ctx, storage.Config{
		Endpoint: cfg.S3Endpoint, Region: cfg.S3Region,
		InboxBucket: cfg.S3InboxBucket, MaskedBucket: cfg.S3MaskedBucket, RecordsBucket: cfg.S3RecordsBucket,
		SSE: cfg.S3SSE, SSEKMSKey: cfg.S3SSEKMSKey, ImageBuckets: cfg.ImageBuckets, AllowedRegions: cfg.S3AllowedRegions, Webhooks: true,
	})
	if err != nil {
		return nil, cli.UsageError(err)
	}
	return store, nil
}

// OpenKeyset reads and parses the keyset. Without one it returns the insecure keyset if the settings allow that, else
// config.ErrNoKeyset.
func OpenKeyset(cfg *config.Config) (*tasks.Keyset, error) {
	if err := cfg.RequireSealing(); err != nil {
		return nil, err
	}
	if !cfg.HasKeyset() {
		return seal.Insecure(), nil
	}
	text, err := cfg.ReadKeyset()
	if err != nil {
		return nil, err
	}
	keyset, err := tasks.ParseKeyset([]byte(text.Reveal()))
	if err != nil {
		name := "KYCQ_KEYSET"
		if cfg.Keyset.Empty() {
			name += "_COMMAND"
		}
		return nil, cli.UsageError(fmt.Errorf("%s: %w", name, err))
	}
	return keyset, nil
}

// OpenVendor builds the client of Cashfree.
func OpenVendor(cfg *config.Config, build cli.Build) (*cashfree.Client, error) {
	vendor, err := cashfree.New(cashfree.Config{
		URL: cfg.CashfreeURL, ClientID: cfg.CashfreeClientID, ClientSecret: cfg.CashfreeClientSecret,
		PublicKeyPEM: cfg.CashfreePublicKey, Timeout: cfg.CashfreeTimeout, ImageHosts: cfg.ImageHosts,
		ImageProxy: cfg.ImageProxy, UserAgent: "kycq/" + build.Version, Proxy: http.ProxyFromEnvironment,
	})
	if err != nil {
		return nil, cli.UsageError(err)
	}
	return vendor, nil
}

// gateLead is how long before its slot a worker gets a permit: enough to write the intent of the call.
const gateLead = 250 * time.Millisecond

// OpenGate builds the fleet's gate. The caller closes it. name is that of the installation, nil for a process that makes no
// calls.
func OpenGate(rdb redis.UniversalClient, cfg *config.Config, name func() string, log zerolog.Logger) (*gate.Gate, error) {
	return gate.New(gate.Config{
		Redis: rdb, Installation: name, Lead: gateLead, CallTimeout: cfg.CashfreeTimeout, Log: log,
		Rates: map[string]rate.Rate{string(tasks.Aadhaar): cfg.AadhaarRate, string(tasks.Passport): cfg.PassportRate},
	})
}

// OpenPauses connects the operator's pauses in S3 and the gate.
func OpenPauses(store *storage.Store, rdb redis.UniversalClient, g *gate.Gate, log zerolog.Logger) *pauses.Pauses {
	return &pauses.Pauses{
		Bucket: store.Buckets().Records, Holds: g.Set, Owe: store.Owe, Log: log, Server: redisx.WatchServer(rdb),
	}
}
