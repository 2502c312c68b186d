// Package config reads kycq's settings. Flags take precedence over the environment, the environment over a YAML file, and
// that over defaults. A secret can also be read from a file that any of these names.
//
// A setting has one name in three spellings: redis_url in YAML is KYCQ_REDIS_URL in the environment and --redis-url on the
// command line. Flags, help, `kycq config print` and the README's table derive from one table (settings.go). Load reports
// all problems at once, each with the user's spelling and a fix; errors do not contain secrets.
//
// The package reads no environment by itself and opens no connections.
package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/kycq/kycq/internal/rate"
	"github.com/kycq/kycq/internal/redact"
	"github.com/kycq/kycq/internal/retention"
)

// Config contains all settings. Load sets those of the requested areas. Their meaning and ranges are in the table; a field
// without a comment is never empty.
type Config struct {
	RedisURL           redact.Secret // may contain a password
	AllowVolatileRedis bool

	S3Endpoint                                     string // empty: AWS
	S3Region                                       string
	S3InboxBucket, S3MaskedBucket, S3RecordsBucket string // three different ones
	S3SSE, S3SSEKMSKey                             string // may be empty

	CashfreeURL          string        // without a trailing slash
	CashfreeClientID     string        // may be empty; see RequireCredentials
	CashfreeClientSecret redact.Secret // may be empty
	CashfreePublicKey    string        // PEM; empty: no x-cf-signature is sent
	CashfreeTimeout      time.Duration
	ImageBuckets         []string
	S3AllowedRegions     []string      // empty: all
	ImageHosts           []string      // empty in production without ImageProxy
	ImageProxy           redact.Secret // URL, may contain a password; empty: none

	Keyset            redact.Secret // JSON; may be empty, see ReadKeyset and RequireSealing
	KeysetCommand     redact.Secret // prints the keyset; may be empty
	InsecureNoSealing bool

	Operator string // empty: the name of the user id

	Retention retention.Rules // empty: nothing is erased

	AadhaarRate, PassportRate rate.Rate

	AadhaarConcurrency, PassportConcurrency, LiveConcurrency int
	MaxAttempts                                              int
	RetryCodes                                               []int // empty: no status is retried
	RetryBase, RetryMax                                      time.Duration
	OnAccountError                                           string // hold or fail
	OnLostAnswer                                             string // review or reissue
	DigitCheck                                               string // off, auto or require
	ReissuesPerDay                                           int    // 0: none
	QRCheck                                                  string // visible or readable

	Listen string // empty: the command's default address, or another port if that is in use

	DashboardUsers, DashboardToken redact.Secret // may be empty
	DashboardPath, DashboardOrigin string
	DashboardProxies               []netip.Prefix
	PrometheusURL                  string // empty: none

	APIKeys         redact.Secret // may be empty
	TLSCert, TLSKey redact.Secret // PEM; both or none
	Webhooks        redact.Secret // YAML; empty: none

	LogFormat, LogLevel string

	File     string // the YAML file; empty if there is none
	values   []Value
	warnings []string
	notes    []string // of Careless

	environ    []string // of KeysetCommand
	keysetOnce sync.Once
	printed    redact.Secret // by KeysetCommand
	printErr   error
}

// Value is a setting as Load found it.
type Value struct {
	Setting
	Text   string // [secret] for a secret; empty if not set
	Path   string // of the file that contained the value; may be empty
	Source string // flag, environment, default or the YAML file, and the file that contained the value
}

func shown(s Setting, text string) string {
	switch {
	case text == "":
		return ""
	case s.NoFlagPassword:
		return hidePassword(text)
	case s.Secret:
		return "[secret]"
	}
	return text
}

// Values lists the settings of the areas in the order of the table.
func (c *Config) Values() []Value { return c.values }

// FileOf returns the path of the file that a setting was read from; empty if it was not read from one.
func (c *Config) FileOf(name string) string {
	for _, v := range c.values {
		if v.Name == name {
			return v.Path
		}
	}
	return ""
}

// Warnings lists problems that stop no command, such as an unknown KYCQ_ variable, one line each.
func (c *Config) Warnings() []string { return c.warnings }

// Require returns an *Error if any of the named settings is empty.
func (c *Config) Require(names ...string) error {
	var missing []string
	for _, v := range c.values {
		if !slices.Contains(names, v.Name) || v.Text != "" {
			continue
		}
		how := "set it"
		switch {
		case v.FileFlag() != "" && v.Flag() == "":
			how = fmt.Sprintf("set it, or name a file that holds it with %s or --%s", v.fileEnv(), v.FileFlag())
		case v.Flag() != "":
			how = fmt.Sprintf("set it, or use --%s", v.Flag())
		}
		missing = append(missing, fmt.Sprintf("%s is missing: %s", v.Env(), how))
	}
	if len(missing) > 0 {
		return &Error{Problems: missing}
	}
	return nil
}

// RequireCredentials returns an *Error if a setting that calls of Cashfree need is empty.
func (c *Config) RequireCredentials() error {
	return c.Require("cashfree_client_id", "cashfree_client_secret")
}

// ErrNoKeyset says that there is no keyset, and that InsecureNoSealing is not set.
var ErrNoKeyset = errors.New("KYCQ_KEYSET is missing, and kycq does not store personal data unencrypted: " +
	"run `kycq keys generate > keyset.json; chmod 600 keyset.json` once, keep a copy, and set KYCQ_KEYSET_FILE=keyset.json, or KYCQ_KEYSET_COMMAND " +
	"(for a trial on made-up data: --insecure-no-sealing)")

// RequireSealing returns ErrNoKeyset if neither a keyset nor InsecureNoSealing is set.
func (c *Config) RequireSealing() error {
	if !c.HasKeyset() && !c.InsecureNoSealing {
		return ErrNoKeyset
	}
	return nil
}
