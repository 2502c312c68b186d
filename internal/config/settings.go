package config

import (
	"slices"
	"strings"
	"time"
)

// Area is a part of kycq that a command uses or does not.
type Area string

// The areas, in the order in which they are shown.
const (
	Redis     Area = "redis"
	S3        Area = "s3"
	Cashfree  Area = "cashfree"
	Sealing   Area = "sealing"
	Rates     Area = "rates"
	Work      Area = "work"
	Listen    Area = "listen"
	Dashboard Area = "dashboard"
	Log       Area = "log"
)

// Areas lists all areas.
func Areas() []Area { return []Area{Redis, S3, Cashfree, Sealing, Rates, Work, Listen, Dashboard, Log} }

// Setting describes one setting. Its name is the YAML key.
type Setting struct {
	Name    string
	Area    Area
	Form    string // what a value looks like, for help: url, duration, N, ...
	Default string
	Help    string // one line, without a full stop
	// Secret settings are never flags and never shown.
	Secret bool
	// File settings can also be read from a file, named by the setting with _FILE, _file or -file at its end.
	File bool
	// NoFlagPassword marks a secret that may be a flag as long as it holds no password: ps shows flags to everybody.
	NoFlagPassword bool

	set func(*Config, string) error
}

const envPrefix = "KYCQ_"

// Env is the setting's name in the environment.
func (s Setting) Env() string { return envPrefix + strings.ToUpper(s.Name) }

// Flag is the setting's name on the command line, without dashes; empty where a flag would show a secret.
func (s Setting) Flag() string {
	if s.Secret && !s.NoFlagPassword {
		return ""
	}
	return flagName(s.Name)
}

// FileFlag is the flag that names the file to read the setting from; empty where there is none.
func (s Setting) FileFlag() string {
	if !s.File {
		return ""
	}
	return flagName(s.Name + fileSuffix)
}

func flagName(name string) string { return strings.ReplaceAll(name, "_", "-") }

const fileSuffix = "_file"

// Settings lists the settings of some areas, or all where none is named.
func Settings(areas ...Area) []Setting {
	if len(areas) == 0 {
		return slices.Clone(table)
	}
	var chosen []Setting
	for _, s := range table {
		if slices.Contains(areas, s.Area) {
			chosen = append(chosen, s)
		}
	}
	return chosen
}

// External is a variable that a library reads, not kycq.
type External struct{ Name, Help string }

// Externals lists the variables that are worth knowing although they are not kycq's.
func Externals() []External {
	return []External{
		{"AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN", "the S3 credentials; every other way of the AWS credential chain (profiles, web identity, instance roles) works too"},
		{"AWS_SHARED_CREDENTIALS_FILE, AWS_PROFILE", "S3 credentials from a file, for example a container's secret"},
		{"AWS_CA_BUNDLE", "a file of CA certificates for an S3 server with a private one"},
		{"NO_COLOR", "set to anything: no colours in the console log"},
	}
}

var table = []Setting{
	{
		Name: "redis_url", Area: Redis, Form: "url", Default: "redis://127.0.0.1:6379/0", Secret: true, File: true, NoFlagPassword: true,
		Help: "Redis 6.2 or newer: redis://, rediss:// (TLS) or redis-sentinel://host,host/0?master=NAME",
		set:  redisURL,
	},
	{
		Name: "s3_endpoint", Area: S3, Form: "url", Default: "",
		Help: "S3-compatible server, for example http://127.0.0.1:9000; empty means AWS",
		set:  baseURL(func(c *Config) *string { return &c.S3Endpoint }),
	},
	{
		Name: "s3_region", Area: S3, Form: "region", Default: "ap-south-1",
		Help: "region of the buckets",
		set:  word(func(c *Config) *string { return &c.S3Region }),
	},
	{
		Name: "s3_inbox_bucket", Area: S3, Form: "bucket", Default: "kycq-inbox",
		Help: "bucket of images to be masked (unmasked: 30 days at most)",
		set:  bucket(func(c *Config) *string { return &c.S3InboxBucket }),
	},
	{
		Name: "s3_masked_bucket", Area: S3, Form: "bucket", Default: "kycq-masked",
		Help: "bucket of masked images",
		set:  bucket(func(c *Config) *string { return &c.S3MaskedBucket }),
	},
	{
		Name: "s3_records_bucket", Area: S3, Form: "bucket", Default: "kycq-records",
		Help: "bucket of the status records, batches and the audit trail",
		set:  bucket(func(c *Config) *string { return &c.S3RecordsBucket }),
	},
	{
		Name: "cashfree_url", Area: Cashfree, Form: "url", Default: "https://sandbox.cashfree.com/verification",
		Help: "base URL of Cashfree's API; live: https://api.cashfree.com/verification",
		set:  cashfreeURL,
	},
	{
		Name: "cashfree_client_id", Area: Cashfree, Form: "id", Default: "",
		Help: "client ID of the Cashfree account",
		set:  word(func(c *Config) *string { return &c.CashfreeClientID }),
	},
	{
		Name: "cashfree_client_secret", Area: Cashfree, Form: "secret", Default: "", Secret: true, File: true,
		Help: "client secret of the Cashfree account",
		set:  secret(func(c *Config) *secretField { return &c.CashfreeClientSecret }),
	},
	{
		Name: "cashfree_public_key", Area: Cashfree, Form: "pem", Default: "", File: true,
		Help: "Cashfree's public key (PEM); set, requests carry x-cf-signature",
		set:  publicKey,
	},
	{
		Name: "cashfree_timeout", Area: Cashfree, Form: "duration", Default: "30s",
		Help: "longest a call may take, 1s to 5m",
		set:  duration(func(c *Config) *time.Duration { return &c.CashfreeTimeout }, time.Second, 5*time.Minute),
	},
	{
		Name: "image_hosts", Area: Cashfree, Form: "list", Default: "",
		Help: "hosts (or host:port), by commas, that image links may name although private or plain http (development)",
		set:  hosts(func(c *Config) *[]string { return &c.ImageHosts }),
	},
	{
		Name: "keyset", Area: Sealing, Form: "json", Default: "", Secret: true, File: true,
		Help: "keys that seal personal data, as printed by kycq keys generate",
		set:  secret(func(c *Config) *secretField { return &c.Keyset }),
	},
	{
		Name: "insecure_no_sealing", Area: Sealing, Form: "bool", Default: "false",
		Help: "work without a keyset: personal data is readable in Redis and S3 (development)",
		set:  boolean(func(c *Config) *bool { return &c.InsecureNoSealing }),
	},
	{
		Name: "aadhaar_rate", Area: Rates, Form: "rate", Default: "100/m",
		Help: "Cashfree's limit for Aadhaar masking, for the whole fleet",
		set:  rate(func(c *Config) *string { return &c.AadhaarRate }),
	},
	{
		Name: "passport_rate", Area: Rates, Form: "rate", Default: "100/m",
		Help: "Cashfree's limit for passport verification, for the whole fleet",
		set:  rate(func(c *Config) *string { return &c.PassportRate }),
	},
	{
		Name: "allow_volatile_redis", Area: Work, Form: "bool", Default: "false",
		Help: "accept a Redis that may drop keys (development)",
		set:  boolean(func(c *Config) *bool { return &c.AllowVolatileRedis }),
	},
	{
		Name: "aadhaar_concurrency", Area: Work, Form: "N", Default: "8",
		Help: "bulk Aadhaar jobs that a worker has in hand at once",
		set:  integer(func(c *Config) *int { return &c.AadhaarConcurrency }, 1, maxConcurrency),
	},
	{
		Name: "passport_concurrency", Area: Work, Form: "N", Default: "8",
		Help: "bulk passport jobs that a worker has in hand at once",
		set:  integer(func(c *Config) *int { return &c.PassportConcurrency }, 1, maxConcurrency),
	},
	{
		Name: "live_concurrency", Area: Work, Form: "N", Default: "4",
		Help: "live jobs of each kind that a worker has in hand at once",
		set:  integer(func(c *Config) *int { return &c.LiveConcurrency }, 1, maxConcurrency),
	},
	{
		Name: "max_attempts", Area: Work, Form: "N", Default: "6",
		Help: "counted attempts of a job before it ends as failed",
		set:  integer(func(c *Config) *int { return &c.MaxAttempts }, 1, 100),
	},
	{
		Name: "retry_codes", Area: Work, Form: "list", Default: "500,502",
		Help: "HTTP statuses (500 to 599) that are retried; none: retry nothing",
		set:  statuses(func(c *Config) *[]int { return &c.RetryCodes }),
	},
	{
		Name: "retry_base", Area: Work, Form: "duration", Default: "5s",
		Help: "first backoff of a retry; it doubles each time",
		set:  duration(func(c *Config) *time.Duration { return &c.RetryBase }, 10*time.Millisecond, time.Hour),
	},
	{
		Name: "retry_max", Area: Work, Form: "duration", Default: "10m",
		Help: "longest backoff of a retry",
		set:  duration(func(c *Config) *time.Duration { return &c.RetryMax }, 10*time.Millisecond, 24*time.Hour),
	},
	{
		Name: "on_account_error", Area: Work, Form: "hold|fail", Default: "hold",
		Help: "refused credentials, IP or balance: hold everything, or fail the jobs that meet it",
		set:  choice(func(c *Config) *string { return &c.OnAccountError }, "hold", "fail"),
	},
	{
		Name: "on_lost_answer", Area: Work, Form: "review|reissue", Default: "review",
		Help: "an answer that was paid for and lost: leave the job to a person, or buy it again",
		set:  choice(func(c *Config) *string { return &c.OnLostAnswer }, "review", "reissue"),
	},
	{
		Name: "reissues_per_day", Area: Work, Form: "N", Default: "100",
		Help: "most lost answers bought again a day, over the whole fleet",
		set:  integer(func(c *Config) *int { return &c.ReissuesPerDay }, 0, 1_000_000),
	},
	{
		Name: "listen", Area: Listen, Form: "host:port", Default: "",
		Help: "address of the command's HTTP server (worker 127.0.0.1:8080, dashboard :8081, simulator :8090)",
		set:  address(func(c *Config) *string { return &c.Listen }),
	},
	{
		Name: "dashboard_users", Area: Dashboard, Form: "name:hash", Default: "", Secret: true, File: true,
		Help: "who may open the dashboard, one name:hash a line, as printed by kycq dashboard hash",
		set:  secret(func(c *Config) *secretField { return &c.DashboardUsers }),
	},
	{
		Name: "dashboard_token", Area: Dashboard, Form: "token", Default: "", Secret: true, File: true,
		Help: "bearer token that opens the dashboard for programs, 16 characters or more",
		set:  secret(func(c *Config) *secretField { return &c.DashboardToken }),
	},
	{
		Name: "prometheus_url", Area: Dashboard, Form: "url", Default: "",
		Help: "Prometheus that scrapes the workers, for the dashboard's metrics page",
		set:  baseURL(func(c *Config) *string { return &c.PrometheusURL }),
	},
	{
		Name: "log_format", Area: Log, Form: "auto|json|console", Default: "auto",
		Help: "auto is console at a terminal and json elsewhere",
		set:  choice(func(c *Config) *string { return &c.LogFormat }, "auto", "json", "console"),
	},
	{
		Name: "log_level", Area: Log, Form: "debug|info|warn|error", Default: "info",
		Help: "least level that is logged",
		set:  choice(func(c *Config) *string { return &c.LogLevel }, "debug", "info", "warn", "error"),
	},
}

// maxConcurrency only catches slips of the finger: 100 calls a minute of 2 s each need 4.
const maxConcurrency = 1024
