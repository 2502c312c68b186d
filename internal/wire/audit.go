package wire

import (
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

// OpenTrail returns the audit trail of a user: an operator, a login of the dashboard, or a key of the API.
func OpenTrail(cfg *config.Config, store *storage.Store, user, host string) (*audit.Trail, error) {
	mac, err := AuditMAC(cfg)
	if err != nil {
		return nil, err
	}
	return audit.New(audit.Config{Bucket: audit.BucketOf(store.Buckets()), User: user, Host: host, MAC: mac})
}

// AuditMAC returns the MAC of audit events; nil without a keyset.
func AuditMAC(cfg *config.Config) (audit.MAC, error) {
	if cfg.Keyset.Empty() {
		return nil, nil
	}
	keyset, err := OpenKeyset(cfg)
	if err != nil {
		return nil, err
	}
	return keyset.MAC, nil
}
