// Package objects reads and writes objects in S3. It is the only importer of the AWS SDK.
//
// A conditional write (Create, Swap) succeeds for exactly one of several concurrent writers, and a writer whose response
// was lost can tell whether it was the one. Every call ends within a bounded time; the SDK's retryer is the only retry
// layer. Errors are classified (ErrNotFound, ErrUnreachable, ...) and contain neither object contents nor signed URLs.
package objects

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/kycq/kycq/internal/redact"
)

// Config has the fields of storage.Config, which documents and checks them.
type Config struct {
	Endpoint                                 string
	Region                                   string
	InboxBucket, MaskedBucket, RecordsBucket string
	AccessKeyID                              string
	SecretAccessKey                          redact.Secret
	InboxLifecycle                           time.Duration
	SSE, SSEKMSKey                           string
	AllowedRegions                           []string
}

// Buckets are the three buckets of an installation. They are safe for concurrent use.
type Buckets struct {
	Inbox, Masked, Records *Bucket
	client                 *client
	inboxLifecycle         time.Duration
	regions                []string    // that are allowed; empty: all
	untagged               atomic.Bool // the store refuses tags
}

// Open returns the buckets of a complete configuration. It does not connect.
func Open(ctx context.Context, cfg Config) (*Buckets, error) {
	sdk, err := newClient(ctx, cfg)
	if err != nil {
		return nil, err
	}
	c := &client{Client: sdk, sse: types.ServerSideEncryption(cfg.SSE)}
	if cfg.SSEKMSKey != "" {
		c.kmsKey = &cfg.SSEKMSKey
	}
	b := &Buckets{client: c, inboxLifecycle: cfg.InboxLifecycle, regions: cfg.AllowedRegions}
	b.Inbox, b.Masked = b.Bucket(cfg.InboxBucket, "object"), b.Bucket(cfg.MaskedBucket, "object")
	b.Records = b.Bucket(cfg.RecordsBucket, "object")
	return b, nil
}

// Bucket returns a bucket of any name, such as that of a user's images. Error messages call an object noun.
func (b *Buckets) Bucket(name, noun string) *Bucket {
	return &Bucket{client: b.client, name: name, noun: noun}
}

// all returns the buckets in the order in which Init creates them.
func (b *Buckets) all() []*Bucket { return []*Bucket{b.Inbox, b.Masked, b.Records} }
