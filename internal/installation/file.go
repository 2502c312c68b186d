// Package installation ties buckets, a Redis database and an account of the vendor together, so that none is used with a
// part of another installation: the outcomes of a rehearsal in the sandbox must not count as done in production, and two
// Redis must not both pace and feed the calls of one account.
//
// The object installation.json in the records bucket names the vendor's host, the account, and the Redis by a random name
// that Redis carries too (redisx.NameKey). The first worker creates it. Processes with settings of the vendor compare all
// of it, other processes the name (redisx.CheckName). The rules for the name:
//
//   - A Redis with the name drives the buckets, whatever server it is: a failover and a restart keep it.
//   - If the name is missing in the server that the file records (FLUSHALL), a worker restores it.
//   - If the name is missing in another server, a worker adopts that Redis, under a new name, once the file was not renewed
//     for adoptAfter by S3's clock. Workers renew it each minute while they find its name in their Redis, so the Redis that
//     is in use is never replaced, and of two new ones the compare-and-swap chooses one.
//   - A Redis with another name is refused. Only `kycq storage adopt` replaces a name.
//
// A worker uses what it has read for less than adoptAfter, so it makes no call after another Redis was adopted.
package installation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/internal/redisx"
)

// Key is the object's key in the records bucket.
const Key = "installation.json"

const (
	version    = 1
	adoptAfter = 3 * time.Minute // without a renewal, by S3's clock
	renewAfter = time.Minute
)

// File is the content of the object.
type File struct {
	Version    int       `json:"version"`
	VendorHost string    `json:"vendor_host"`      // of KYCQ_CASHFREE_URL, with the port
	Account    string    `json:"account"`          // keyed hash of the client id
	Redis      string    `json:"redis"`            // name of the Redis that drives the buckets
	Server     string    `json:"server,omitempty"` // its run_id and database; empty if it does not tell
	CreatedAt  time.Time `json:"created_at"`
	// QRCheck is the setting KYCQ_QR_CHECK of the worker that started last; empty: visible.
	QRCheck string `json:"qr_check,omitempty"`
	// Seen is when a worker last found the name in its Redis, by the worker's clock. Decisions use the age of the object.
	Seen time.Time `json:"seen"`
}

// ErrUnreadable means that the file is damaged or of a newer version.
var ErrUnreadable = errors.New("not a file that this version of kycq can read: use the newest version that was used with these buckets")

// Bucket is *objects.Bucket.
type Bucket interface {
	Get(ctx context.Context, key string) (*objects.Object, error)
	Create(ctx context.Context, key string, body []byte) (etag string, err error)
	Swap(ctx context.Context, key string, body []byte, etag string) (newETag string, err error)
}

// BucketOf returns the place of the object.
func BucketOf(b *objects.Buckets) *objects.Bucket { return b.Records.Within(Key, Key) }

// Read returns the file, and the object that holds it; nil if there is none.
func Read(ctx context.Context, bucket Bucket) (*File, *objects.Object, error) {
	object, err := bucket.Get(ctx, Key)
	if errors.Is(err, objects.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	var f File
	if err := json.Unmarshal(object.Body, &f); err != nil || f.Version != version || f.Redis == "" {
		return nil, nil, fmt.Errorf("read %s: %w", Key, ErrUnreadable)
	}
	return &f, object, nil
}

// RedisName returns the name of the Redis that drives the buckets, "" before the first worker.
func RedisName(ctx context.Context, bucket Bucket) (string, error) {
	f, _, err := Read(ctx, bucket)
	if err != nil || f == nil {
		return "", err
	}
	return f.Redis, nil
}

// Account is what a process knows of the vendor's account.
type Account struct{ Host, Hash string }

// Fingerprinter is *seal.Keyset.
type Fingerprinter interface {
	Fingerprint(kind, id string, input []byte) string
}

// AccountOf describes the account of the URL and client id. The hash is keyed, and stays the same when the keyset rotates.
func AccountOf(vendorURL, clientID string, keyset Fingerprinter) (Account, error) {
	u, err := url.Parse(vendorURL)
	if err != nil || u.Hostname() == "" {
		return Account{}, errors.New("KYCQ_CASHFREE_URL: has no host")
	}
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "http":
		port = "80"
	default:
		port = "443"
	}
	return Account{
		Host: net.JoinHostPort(strings.ToLower(u.Hostname()), port),
		Hash: keyset.Fingerprint("account", "client_id", []byte(clientID)),
	}, nil
}

// State is how buckets, Redis and account relate.
type State string

// The states.
const (
	None         State = "none"          // no worker has run yet
	Verified     State = "verified"      // all belong together
	NameLost     State = "name lost"     // the server has lost its data: a worker restores the name
	RedisChanged State = "redis changed" // another server, without a name: a worker adopts it after adoptAfter
	OtherRedis   State = "other redis"   // the Redis carries another installation's name
	OtherHost    State = "other host"    // the buckets belong to another host of the vendor
	OtherAccount State = "other account" // the buckets belong to another account at the same host
)

// Found is what a look has found.
type Found struct {
	State  State
	File   *File         // nil if there is none
	Age    time.Duration // since the last renewal, by S3's clock
	name   string        // that the Redis carries
	server string        // of the Redis
	etag   string        // of the file
	at     time.Time     // when the look began
	want   Account
}

func look(ctx context.Context, bucket Bucket, client redis.UniversalClient, account Account) (Found, error) {
	f := Found{at: time.Now(), want: account}
	var err error
	if f.name, err = redisx.Name(ctx, client); err != nil { // before the file: a worker writes the name after it
		return f, err
	}
	if f.server, err = redisx.Server(ctx, client); err != nil {
		return f, err
	}
	file, object, err := Read(ctx, bucket)
	if err != nil {
		return f, err
	}
	if file != nil {
		f.File, f.Age, f.etag = file, object.Age, object.ETag
	}
	f.State = f.judge()
	return f, nil
}

func (f Found) judge() State {
	switch file := f.File; {
	case file == nil && f.name == "":
		return None
	case file == nil:
		return OtherRedis
	case file.VendorHost != f.want.Host:
		return OtherHost
	case file.Account != f.want.Hash:
		return OtherAccount
	case file.Redis == f.name:
		return Verified
	case f.name != "":
		return OtherRedis
	case file.Server != "" && file.Server == f.server:
		return NameLost
	}
	return RedisChanged
}

// inUse reports whether workers may be using another Redis.
func (f Found) inUse() bool { return f.File != nil && f.Age <= adoptAfter }

// Refusal returns why a worker must not run, and what to do; nil in the states None, Verified and NameLost, and if the
// Redis may be adopted. It is a *redisx.OtherError.
func (f Found) Refusal() error {
	switch f.State {
	case OtherHost:
		return &redisx.OtherError{
			Message: fmt.Sprintf("these buckets belong to another installation: its jobs went to %s and would count as done at %s (KYCQ_CASHFREE_URL)",
				f.File.VendorHost, f.want.Host),
			Fix: "use other buckets (KYCQ_S3_INBOX_BUCKET, KYCQ_S3_MASKED_BUCKET, KYCQ_S3_RECORDS_BUCKET) and another Redis database for it",
		}
	case OtherAccount:
		return &redisx.OtherError{
			Message: "these buckets belong to another account: KYCQ_CASHFREE_CLIENT_ID or KYCQ_KEYSET is not the one they were used with",
			Fix:     "correct it; if the client id has changed, stop all workers and run: kycq storage adopt --client-id-changed --reason TEXT",
		}
	case OtherRedis:
		return redisx.OtherRedis()
	case RedisChanged:
		if f.inUse() {
			return &redisx.OtherError{
				Message: fmt.Sprintf("another Redis drives these buckets, last seen %s ago", f.Age.Round(time.Second)),
				Fix:     fmt.Sprintf("correct KYCQ_REDIS_URL; if that Redis is gone or has lost its data, start the worker again in %s", f.adoptIn()),
			}
		}
	}
	return nil
}

// adoptIn is how long to wait until the other Redis counts as gone, if no worker renews the file.
func (f Found) adoptIn() time.Duration { return (adoptAfter + time.Second - f.Age).Round(time.Second) }
