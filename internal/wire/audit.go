package wire

import (
	"context"
	"errors"
	"fmt"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/storage"
)

// Operator returns who runs this process and on which host, for the audit trail.
func Operator(cfg *config.Config) (name, host string, err error) {
	name, host, err = audit.Here()
	if host != "" && cfg.Operator != "" {
		return cfg.Operator, host, nil
	}
	if err != nil {
		err = cli.UsageError(err)
	}
	return name, host, err
}

// AppendAudit writes the audit event of what a user is about to do: an operator, a login of the dashboard, or a key of the API.
// If that fails, it must not be done.
func AppendAudit(ctx context.Context, cfg *config.Config, store *storage.Store, user, host string, act audit.Act) (audit.Event, error) {
	mac, err := AuditMAC(cfg)
	if err != nil {
		return audit.Event{}, err
	}
	trail, err := audit.New(audit.Config{Bucket: audit.BucketOf(store.Buckets()), User: user, Host: host, MAC: mac})
	if err != nil {
		return audit.Event{}, err
	}
	entry, err := trail.Append(ctx, act)
	if err != nil {
		return audit.Event{}, fmt.Errorf("refused, because the audit entry cannot be written: %w", err)
	}
	return entry, nil
}

// AuditOfWorker writes the audit event of what a worker is about to do by itself.
func AuditOfWorker(ctx context.Context, cfg *config.Config, store *storage.Store, act audit.Act) error {
	user, host, err := Operator(cfg)
	if errors.Is(err, audit.ErrNoName) {
		user, err = "worker", nil
	}
	if err == nil {
		_, err = AppendAudit(ctx, cfg, store, user, host, act)
	}
	return err
}

// AuditMAC returns the MAC of audit events; nil without a keyset.
func AuditMAC(cfg *config.Config) (audit.MAC, error) {
	if !cfg.HasKeyset() {
		return nil, nil
	}
	keyset, err := OpenKeyset(cfg)
	if err != nil {
		return nil, err
	}
	return keyset.MAC, nil
}
