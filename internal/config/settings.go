package config

import (
	"slices"
	"strings"
	"time"

	"github.com/kycq/kycq/internal/retention"
)

// Area is a group of settings. A command uses some of them.
type Area string

// The areas, in the order in which they are shown.
const (
	Redis     Area = "redis"
	S3        Area = "s3"
	Cashfree  Area = "cashfree"
	Sealing   Area = "sealing"
	Audit     Area = "audit"
	Retention Area = "retention"
	Rates     Area = "rates"
	Work      Area = "work"
	Listen    Area = "listen"
	Dashboard Area = "dashboard"
	API       Area = "api"
	Webhooks  Area = "webhooks"
	Log       Area = "log"
)

// Areas lists all areas.
func Areas() []Area {
	return []Area{Redis, S3, Cashfree, Sealing, Audit, Retention, Rates, Work, Listen, Dashboard, API, Webhooks, Log}
}

// Setting describes one setting. Its name is the YAML key.
type Setting struct {
	Name    string
	Area    Area
	Form    string // what a value looks like, for help: url, duration, N, ...
	Default string
	Help    string // one line, without a full stop
	Secret  bool   // never a flag and never shown
	File    bool   // can also be read from a file, named by the setting with the suffix _FILE, _file or -file
	// NoFlagPassword permits a flag for a Secret, but no value with a password: other users can see flags (ps).
	NoFlagPassword bool

	set func(text string) error
}

const (
	envPrefix  = "KYCQ_"
	fileSuffix = "_file"
)

// Env is the name of the environment variable.
func (s Setting) Env() string { return envPrefix + strings.ToUpper(s.Name) }

func (s Setting) fileEnv() string { return envPrefix + strings.ToUpper(s.Name+fileSuffix) }

// Flag is the name of the flag, without dashes; empty if there is none.
func (s Setting) Flag() string {
	if s.Secret && !s.NoFlagPassword {
		return ""
	}
	return flagName(s.Name)
}

// FileFlag is the name of the flag for the setting's file; empty if there is none.
func (s Setting) FileFlag() string {
	if !s.File {
		return ""
	}
	return flagName(s.Name + fileSuffix)
}

func flagName(name string) string { return strings.ReplaceAll(name, "_", "-") }

// Settings lists the settings of some areas, or all if no area is given.
func Settings(areas ...Area) []Setting { return chosen(new(Config), areas) }

func chosen(c *Config, areas []Area) []Setting {
	return slices.DeleteFunc(table(c), func(s Setting) bool { return len(areas) > 0 && !slices.Contains(areas, s.Area) })
}

// maxConcurrency catches typing errors: 100 calls a minute of 2 s each need 4.
const maxConcurrency = 1024

// table lists all settings in the order in which they are shown. Their set functions write to c.
func table(c *Config) []Setting {
	return []Setting{
		{
			Name: "redis_url", Area: Redis, Form: "url", Default: "redis://127.0.0.1:6379/0", Secret: true, File: true, NoFlagPassword: true, set: to(&c.RedisURL, redisURL),
			Help: "Redis 6.2 or newer: redis://, rediss:// (TLS) or redis-sentinel://host,host/0?master=NAME",
		},
		{
			Name: "s3_endpoint", Area: S3, Form: "url", set: to(&c.S3Endpoint, baseURL),
			Help: "S3-compatible server, for example http://127.0.0.1:9000; empty means AWS",
		},
		{
			Name: "s3_region", Area: S3, Form: "region", Default: "ap-south-1", set: to(&c.S3Region, word),
			Help: "AWS region of the buckets",
		},
		{
			Name: "s3_allowed_regions", Area: S3, Form: "list", set: to(&c.S3AllowedRegions, list),
			Help: "regions, separated by commas, where kycq's buckets may be; others are refused; empty means all",
		},
		{
			Name: "s3_inbox_bucket", Area: S3, Form: "bucket", Default: "kycq-inbox", set: to(&c.S3InboxBucket, bucket),
			Help: "bucket for images to be masked; they expire after 30 days",
		},
		{
			Name: "s3_masked_bucket", Area: S3, Form: "bucket", Default: "kycq-masked", set: to(&c.S3MaskedBucket, bucket),
			Help: "bucket for masked images",
		},
		{
			Name: "s3_records_bucket", Area: S3, Form: "bucket", Default: "kycq-records", set: to(&c.S3RecordsBucket, bucket),
			Help: "bucket for records, batches and the audit trail",
		},
		{
			Name: "image_buckets", Area: S3, Form: "list", set: to(&c.ImageBuckets, places),
			Help: "where s3:// images may come from: bucket or bucket/folder, separated by commas; empty means nowhere",
		},
		{
			Name: "s3_sse", Area: S3, Form: "AES256|aws:kms", set: to(&c.S3SSE, choice("AES256", "aws:kms")),
			Help: "server-side encryption to ask for with each write; empty leaves it to the bucket",
		},
		{
			Name: "s3_sse_kms_key", Area: S3, Form: "id", set: to(&c.S3SSEKMSKey, word),
			Help: "key of aws:kms; empty means the account's default key",
		},
		{
			Name: "cashfree_url", Area: Cashfree, Form: "url", Default: "https://sandbox.cashfree.com/verification", set: to(&c.CashfreeURL, cashfreeURL),
			Help: "base URL of Cashfree's API; live: https://api.cashfree.com/verification, with buckets of its own",
		},
		{
			Name: "cashfree_client_id", Area: Cashfree, Form: "id", set: to(&c.CashfreeClientID, word),
			Help: "client ID of the Cashfree account",
		},
		{
			Name: "cashfree_client_secret", Area: Cashfree, Form: "secret", Secret: true, File: true, set: to(&c.CashfreeClientSecret, secret),
			Help: "client secret of the Cashfree account",
		},
		{
			Name: "cashfree_public_key", Area: Cashfree, Form: "pem", File: true, set: to(&c.CashfreePublicKey, publicKey),
			Help: "Cashfree's public key (PEM); if set, requests carry x-cf-signature",
		},
		{
			Name: "cashfree_timeout", Area: Cashfree, Form: "duration", Default: "30s", set: to(&c.CashfreeTimeout, duration(time.Second, 5*time.Minute)),
			Help: "timeout of a call, 1s to 5m",
		},
		{
			Name: "image_hosts", Area: Cashfree, Form: "list", set: to(&c.ImageHosts, hosts),
			Help: "hosts or host:port, separated by commas, allowed in image links although private or plain http (development); with image_proxy the only ones",
		},
		{
			Name: "image_proxy", Area: Cashfree, Form: "url", Secret: true, File: true, NoFlagPassword: true, set: to(&c.ImageProxy, proxyURL),
			Help: "http or https proxy of image links, to the hosts of image_hosts only; proxies of the environment are for calls only",
		},
		{
			Name: "keyset", Area: Sealing, Form: "json", Secret: true, File: true, set: to(&c.Keyset, secret),
			Help: "keys that encrypt personal data, as printed by kycq keys generate",
		},
		{
			Name: "keyset_command", Area: Sealing, Form: "program", Secret: true, set: to(&c.KeysetCommand, secret),
			Help: "program with arguments, by spaces, that prints the keyset, such as a client of a KMS; from the environment, or a configuration file that only root may write",
		},
		{
			Name: "insecure_no_sealing", Area: Sealing, Form: "bool", Default: "false", set: to(&c.InsecureNoSealing, boolean),
			Help: "run without a keyset: personal data is stored unencrypted in Redis and S3 (development)",
		},
		{
			Name: "operator", Area: Audit, Form: "name", set: to(&c.Operator, operator),
			Help: "name of the person, for the audit trail; by default that of the user id, and required where it has none (containers)",
		},
		{
			Name: "retention", Area: Retention, Form: "list", set: to(&c.Retention, retention.Parse),
			Help: "when data of finished jobs is erased, by kind and outcome, for example aadhaar.valid=90d,aadhaar.failed=30d,passport=365d; empty: never",
		},
		{
			Name: "aadhaar_rate", Area: Rates, Form: "rate", Default: "100/m", set: to(&c.AadhaarRate, limit),
			Help: "Cashfree's rate limit for Aadhaar masking, shared by all workers",
		},
		{
			Name: "passport_rate", Area: Rates, Form: "rate", Default: "100/m", set: to(&c.PassportRate, limit),
			Help: "Cashfree's rate limit for passport verification, shared by all workers",
		},
		{
			Name: "allow_volatile_redis", Area: Work, Form: "bool", Default: "false", set: to(&c.AllowVolatileRedis, boolean),
			Help: "accept a Redis that may lose keys (development)",
		},
		{
			Name: "aadhaar_concurrency", Area: Work, Form: "N", Default: "8", set: to(&c.AadhaarConcurrency, integer(1, maxConcurrency)),
			Help: "bulk Aadhaar jobs that a worker processes at once",
		},
		{
			Name: "passport_concurrency", Area: Work, Form: "N", Default: "8", set: to(&c.PassportConcurrency, integer(1, maxConcurrency)),
			Help: "bulk passport jobs that a worker processes at once",
		},
		{
			Name: "live_concurrency", Area: Work, Form: "N", Default: "4", set: to(&c.LiveConcurrency, integer(1, maxConcurrency)),
			Help: "live jobs of each kind that a worker processes at once",
		},
		{
			Name: "max_attempts", Area: Work, Form: "N", Default: "6", set: to(&c.MaxAttempts, integer(1, 100)),
			Help: "counted attempts before a job fails",
		},
		{
			Name: "retry_codes", Area: Work, Form: "list", Default: "500,502", set: to(&c.RetryCodes, statuses),
			Help: "HTTP statuses (500 to 599) to retry, or none",
		},
		{
			Name: "retry_base", Area: Work, Form: "duration", Default: "5s", set: to(&c.RetryBase, duration(10*time.Millisecond, time.Hour)),
			Help: "first backoff of a retry; each further one is twice as long",
		},
		{
			Name: "retry_max", Area: Work, Form: "duration", Default: "10m", set: to(&c.RetryMax, duration(10*time.Millisecond, 24*time.Hour)),
			Help: "longest backoff of a retry",
		},
		{
			Name: "on_account_error", Area: Work, Form: "hold|fail", Default: "hold", set: to(&c.OnAccountError, choice("hold", "fail")),
			Help: "if Cashfree refuses credentials, IP or balance: put the fleet on hold, or fail the job",
		},
		{
			Name: "on_lost_answer", Area: Work, Form: "review|reissue", Default: "review", set: to(&c.OnLostAnswer, choice("review", "reissue")),
			Help: "if the answer to a paid call is lost: fail the job for review, or call again",
		},
		{
			Name: "qr_check", Area: Work, Form: "visible|readable", Default: "visible", set: to(&c.QRCheck, choice("visible", "readable")),
			Help: "refuse masked images with a QR code that is visible, or only if kycq can read it (a change is audited)",
		},
		{
			Name: "digit_check", Area: Work, Form: "off|auto|require", Default: "off", set: to(&c.DigitCheck, choice("off", "auto", "require")),
			Help: "read masked images with Tesseract and refuse those with a readable number: never, if it is installed, or always",
		},
		{
			Name: "reissues_per_day", Area: Work, Form: "N", Default: "100", set: to(&c.ReissuesPerDay, integer(0, 1_000_000)),
			Help: "limit of calls repeated for lost answers, per day and fleet",
		},
		{
			Name: "listen", Area: Listen, Form: "host:port", set: to(&c.Listen, address),
			Help: "address of the HTTP server (default: worker 127.0.0.1:8080, dashboard 127.0.0.1:8081, serve 127.0.0.1:8082)",
		},
		{
			Name: "dashboard_users", Area: Dashboard, Form: "name:hash", Secret: true, File: true, set: to(&c.DashboardUsers, secret),
			Help: "users of the dashboard, one name:hash per line, as printed by kycq dashboard hash",
		},
		{
			Name: "dashboard_token", Area: Dashboard, Form: "token", Secret: true, File: true, set: to(&c.DashboardToken, secret),
			Help: "bearer token for programs that access the dashboard, 16 characters or more",
		},
		{
			Name: "dashboard_path", Area: Dashboard, Form: "path", Default: "/asynqmon", set: to(&c.DashboardPath, urlPath),
			Help: "path of the dashboard, for a proxy that serves other things, too",
		},
		{
			Name: "dashboard_origin", Area: Dashboard, Form: "url", set: to(&c.DashboardOrigin, baseURL),
			Help: "further origin whose pages may request changes: https://host of a proxy under another name",
		},
		{
			Name: "dashboard_proxies", Area: Dashboard, Form: "list", set: to(&c.DashboardProxies, networks),
			Help: "addresses or networks, separated by commas, of proxies that say in X-Forwarded-For who their client is",
		},
		{
			Name: "prometheus_url", Area: Dashboard, Form: "url", set: to(&c.PrometheusURL, baseURL),
			Help: "Prometheus server for the dashboard's metrics page",
		},
		{
			Name: "api_keys", Area: API, Form: "name scopes hash", Secret: true, File: true, set: to(&c.APIKeys, secret),
			Help: "keys of the HTTP API, one line each, as written by kycq serve key; the file is read again when it changes",
		},
		{
			Name: "tls_cert", Area: API, Form: "pem", File: true, set: to(&c.TLSCert, secret),
			Help: "certificate of kycq serve with its chain (PEM); the file is read again when it changes",
		},
		{
			Name: "tls_key", Area: API, Form: "pem", Secret: true, File: true, set: to(&c.TLSKey, secret),
			Help: "private key of the certificate (PEM)",
		},
		{
			Name: "webhooks", Area: Webhooks, Form: "yaml", Secret: true, File: true, set: to(&c.Webhooks, secret),
			Help: "endpoints of webhooks: a list of name, url, secret_file, events, kinds, allow_private; the file is read again when it changes",
		},
		{
			Name: "log_format", Area: Log, Form: "auto|json|console", Default: "auto", set: to(&c.LogFormat, choice("auto", "json", "console")),
			Help: "auto: console at a terminal, else json",
		},
		{
			Name: "log_level", Area: Log, Form: "debug|info|warn|error", Default: "info", set: to(&c.LogLevel, choice("debug", "info", "warn", "error")),
			Help: "lowest level to log",
		},
	}
}
