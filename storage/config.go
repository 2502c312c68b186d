package storage

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/kycq/kycq/internal/forms"
	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/internal/redact"
)

// Secret holds a text that prints as "[secret]". Its method Reveal returns the text.
type Secret = redact.Secret

// NewSecret wraps a secret.
func NewSecret(s string) Secret { return redact.NewSecret(s) }

// Config configures a Store.
type Config struct {
	// Endpoint is the base URL of an S3-compatible store; empty means AWS.
	Endpoint string
	// Region is "ap-south-1" if empty.
	Region string
	// The bucket names; if empty, kycq-inbox, kycq-masked and kycq-records. They must differ: the inbox holds unmasked
	// images, which readers of the masked ones need no access to.
	InboxBucket, MaskedBucket, RecordsBucket string
	// AccessKeyID and SecretAccessKey; if both are empty, the AWS chain (environment, profile, container or machine role).
	AccessKeyID     string
	SecretAccessKey Secret
	// InboxLifecycle is after how many whole days the store deletes an upload from the inbox; zero means 30 days.
	// `kycq storage init` sets the rule.
	InboxLifecycle time.Duration
	// SSE is the server-side encryption that every write asks for: AES256 or aws:kms; empty leaves it to the bucket. SSEKMSKey
	// is the key of aws:kms; empty means the account's default key.
	SSE, SSEKMSKey string
	// ImageBuckets lists where images of jobs may come from, apart from uploads: each a bucket, or bucket/folder. Empty means
	// nowhere. The three buckets above cannot be listed.
	ImageBuckets []string
	// AllowedRegions lists the regions where the three buckets may be; empty means all. Workers, `kycq serve` and commands that
	// submit check it when they start.
	AllowedRegions []string
	// Webhooks makes writes that end a run or a batch put the event for the webhook endpoints first (Store.Owe).
	Webhooks bool
}

const sseKMS = "aws:kms"

const day = 24 * time.Hour

func (c Config) withDefaults() Config {
	setDefault := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	setDefault(&c.Region, "ap-south-1")
	setDefault(&c.InboxBucket, "kycq-inbox")
	setDefault(&c.MaskedBucket, "kycq-masked")
	setDefault(&c.RecordsBucket, "kycq-records")
	if c.InboxLifecycle == 0 {
		c.InboxLifecycle = 30 * day
	}
	return c
}

func (c Config) validate() error {
	if c.Endpoint != "" {
		u, err := url.Parse(c.Endpoint)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" {
			return fmt.Errorf("storage: endpoint: want http://host:port or https://host, without user or query")
		}
	}
	seen := map[string]bool{}
	for _, b := range []string{c.InboxBucket, c.MaskedBucket, c.RecordsBucket} {
		if !forms.IsBucket(b) {
			return fmt.Errorf("storage: bucket name %q: want %s", b, forms.BucketRule)
		}
		if seen[b] {
			return fmt.Errorf("storage: bucket %q is used twice: inbox, masked and records must differ", b)
		}
		seen[b] = true
	}
	if (c.AccessKeyID == "") != c.SecretAccessKey.Empty() {
		return fmt.Errorf("storage: access key id and secret access key: set both or none")
	}
	if c.SSE != "" && c.SSE != "AES256" && c.SSE != sseKMS || c.SSEKMSKey != "" && c.SSE != sseKMS {
		return errors.New("storage: server-side encryption (KYCQ_S3_SSE): want AES256 or aws:kms; KYCQ_S3_SSE_KMS_KEY goes with aws:kms")
	}
	if c.InboxLifecycle < day || c.InboxLifecycle%day != 0 {
		return fmt.Errorf("storage: inbox lifecycle %s: want whole days, at least one", c.InboxLifecycle)
	}
	return c.checkPlaces()
}

// Store accesses the three buckets. It is safe for concurrent use.
type Store struct {
	cfg     Config
	buckets *objects.Buckets

	records, markers, owed, holds, uploads, quarantine, masked *objects.Bucket

	subscribers subscribers
}

// Open checks the configuration and returns a Store. It does not connect.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	b, err := objects.Open(ctx, objects.Config{
		Endpoint: cfg.Endpoint, Region: cfg.Region, InboxBucket: cfg.InboxBucket, MaskedBucket: cfg.MaskedBucket, RecordsBucket: cfg.RecordsBucket,
		AccessKeyID: cfg.AccessKeyID, SecretAccessKey: cfg.SecretAccessKey, InboxLifecycle: cfg.InboxLifecycle, SSE: cfg.SSE, SSEKMSKey: cfg.SSEKMSKey,
		AllowedRegions: cfg.AllowedRegions,
	})
	if err != nil {
		return nil, err
	}
	return &Store{
		cfg: cfg, buckets: b,
		records: b.Records.Within(recordsPrefix, "record"), markers: b.Records.Within(openPrefix, "marker"), owed: b.Records.Within(owedPrefix, "owed event"), holds: b.Records.Within(holdsPrefix, "legal hold"), masked: b.Masked.Within(maskedPrefix, "masked image"),
		uploads: b.Inbox.Within("", "upload"), quarantine: b.Inbox.Within(quarantinePrefix, "quarantine"),
	}, nil
}

// Config returns the configuration with defaults.
func (s *Store) Config() Config { return s.cfg }

// Buckets returns the object layer, which is internal to kycq.
func (s *Store) Buckets() *objects.Buckets { return s.buckets }

// Now returns the time by the store's clock, to about a second.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	ahead, err := s.buckets.Clock(ctx)
	return time.Now().Add(-ahead), err
}
