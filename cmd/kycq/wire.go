package main

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// openRedis builds the one client that everything shares and makes sure that the server answers.
func openRedis(ctx context.Context, cfg *config.Config) (redis.UniversalClient, error) {
	client, err := openRedisOffline(cfg)
	if err != nil {
		return nil, err
	}
	if err := client.Ping(ctx).Err(); err != nil {
		_ = client.Close()
		return nil, fmt.Errorf("redis (KYCQ_REDIS_URL): %w", err)
	}
	return client, nil
}

func openRedisOffline(cfg *config.Config) (redis.UniversalClient, error) {
	client, err := redisx.Open(cfg.RedisURL)
	if err != nil {
		return nil, usageError(fmt.Errorf("KYCQ_REDIS_URL: %w", err))
	}
	return client, nil
}

// openStore builds the way to the three buckets, without touching the network.
func openStore(ctx context.Context, cfg *config.Config) (*storage.Store, error) {
	store, err := storage.Open(ctx, storage.Config{
		Endpoint: cfg.S3Endpoint, Region: cfg.S3Region,
		InboxBucket: cfg.S3InboxBucket, MaskedBucket: cfg.S3MaskedBucket, RecordsBucket: cfg.S3RecordsBucket,
	})
	if err != nil {
		return nil, usageError(err)
	}
	return store, nil
}

// openKeyset reads the keyset, or returns the one that seals nothing where that was asked for by name.
func openKeyset(cfg *config.Config) (*tasks.Keyset, error) {
	if err := cfg.RequireSealing(); err != nil {
		return nil, err
	}
	if cfg.Keyset.Empty() {
		return seal.Insecure(), nil
	}
	keyset, err := tasks.ParseKeyset([]byte(cfg.Keyset.Reveal()))
	if err != nil {
		return nil, usageError(fmt.Errorf("KYCQ_KEYSET: %w", err))
	}
	return keyset, nil
}

// producer is what it takes to enqueue.
type producer struct {
	keyset *tasks.Keyset
	redis  redis.UniversalClient
	store  *storage.Store
	client *tasks.Client
}

// openProducer checks first what needs no network: settings, keyset.
func openProducer(ctx context.Context, cfg *config.Config) (*producer, error) {
	keyset, err := openKeyset(cfg)
	if err != nil {
		return nil, err
	}
	store, err := openStore(ctx, cfg)
	if err != nil {
		return nil, err
	}
	rdb, err := openRedis(ctx, cfg)
	if err != nil {
		return nil, err
	}
	client, err := tasks.NewClient(tasks.ClientConfig{Redis: rdb, Ledger: store, Keyset: keyset})
	if err != nil {
		_ = rdb.Close()
		return nil, err
	}
	return &producer{keyset: keyset, redis: rdb, store: store, client: client}, nil
}

func (p *producer) Close() { _ = p.redis.Close() }
