// Package config reads kycq's settings: flags over environment over files of secrets over a YAML file over defaults.
//
// A setting has one name in three spellings: redis_url in YAML is KYCQ_REDIS_URL in the environment and --redis-url on
// the command line. One table (settings.go) holds them all; the flags, `kycq config print`, the errors and the README's
// table are made from it. Whatever is wrong is reported at once and together, by the spelling that the user chose and
// with the fix; the value of a secret is in no error.
//
// Nothing here reads the process' environment or files by itself: the caller passes them in (Sources). The package does
// not open connections and knows no other package of kycq but redact.
package config

import (
	"time"

	"github.com/kycq/kycq/internal/redact"
)

// Config is every setting, checked. A command gets valid values for the areas it asked Load for; the others hold their
// zero values.
type Config struct {
	// RedisURL is never empty. It is a secret because it may hold a password.
	RedisURL redact.Secret
	// AllowVolatileRedis accepts a Redis that may drop keys or forgets them at a restart; false refuses one.
	AllowVolatileRedis bool

	// S3Endpoint is the base URL of an S3-compatible server; empty means AWS.
	S3Endpoint string
	// S3Region is never empty.
	S3Region string
	// The three buckets are never empty and all different.
	S3InboxBucket, S3MaskedBucket, S3RecordsBucket string

	// CashfreeURL is the base of the vendor's paths, without a slash at the end; never empty.
	CashfreeURL string
	// CashfreeClientID and CashfreeClientSecret are empty where not set: see Require.
	CashfreeClientID     string
	CashfreeClientSecret redact.Secret
	// CashfreePublicKey is a PEM block; empty means that no x-cf-signature is sent.
	CashfreePublicKey string
	// CashfreeTimeout bounds one call, from 1 s to 5 min.
	CashfreeTimeout time.Duration
	// ImageHosts are hosts (or host:port) that image links may name although they are private or plain http; empty in
	// production.
	ImageHosts []string

	// Keyset is the JSON of the keys that seal personal data; empty means none was given, which is fine only together
	// with InsecureNoSealing.
	Keyset redact.Secret
	// InsecureNoSealing accepts readable personal data in Redis and S3; false is the rule.
	InsecureNoSealing bool

	// AadhaarRate and PassportRate are the vendor's limits for the whole fleet, as calls per unit: 100/m.
	AadhaarRate, PassportRate string

	// AadhaarConcurrency and PassportConcurrency are how many bulk jobs of a kind one worker works on at once, and
	// LiveConcurrency how many live ones per kind; 1 or more.
	AadhaarConcurrency, PassportConcurrency, LiveConcurrency int
	// MaxAttempts is how many counted attempts a run of a job gets, 1 or more.
	MaxAttempts int
	// RetryCodes are the statuses of 500 to 599 that are retried; empty means none.
	RetryCodes []int
	// RetryBase is the first backoff and RetryMax the longest.
	RetryBase, RetryMax time.Duration
	// OnAccountError is hold or fail.
	OnAccountError string
	// OnLostAnswer is review or reissue.
	OnLostAnswer string
	// ReissuesPerDay bounds the lost answers that are bought again by OnLostAnswer = reissue; 0 means none.
	ReissuesPerDay int

	// Listen is the address of the command's own HTTP server; empty means the command's default, and that a busy port is
	// worth a warning only.
	Listen string

	// DashboardUsers is one name:hash a line; DashboardToken a bearer token. Both empty: nobody can log in.
	DashboardUsers, DashboardToken redact.Secret
	// PrometheusURL is what the dashboard's metrics page asks; empty means that there is none.
	PrometheusURL string

	// LogFormat is auto, json or console; LogLevel is debug, info, warn or error.
	LogFormat, LogLevel string

	values   []Value
	warnings []string
}

// Values describes where each setting of the areas comes from, in the order of the table, secrets masked.
func (c *Config) Values() []Value { return c.values }

// Warnings are findings that do not stop a command, such as an unknown KYCQ_ variable. Each is one line.
func (c *Config) Warnings() []string { return c.warnings }
