package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/kycq/kycq/internal/config"
)

// given is a set of sources; files holds contents by path.
type given struct {
	env   []string
	args  []string
	files map[string]string
	areas []config.Area
}

func (g given) load(t *testing.T) (*config.Config, error) {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.AddConfigFlag(flags)
	config.AddFlags(flags)
	if err := flags.Parse(g.args); err != nil {
		t.Fatalf("parse flags: %v", err)
	}
	return config.Load(config.Sources{Environ: g.env, Flags: flags, ReadFile: func(path string) ([]byte, error) {
		if text, ok := g.files[path]; ok {
			return []byte(text), nil
		}
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}}, g.areas...)
}

func (g given) mustLoad(t *testing.T) *config.Config {
	t.Helper()
	c, err := g.load(t)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c := given{}.mustLoad(t)
	got := fmt.Sprint(c.RedisURL.Reveal(), c.S3Endpoint, c.S3Region, c.S3InboxBucket, c.S3MaskedBucket, c.S3RecordsBucket,
		c.CashfreeURL, c.CashfreeTimeout, c.AadhaarRate.String(), c.PassportRate.String(), c.AadhaarConcurrency, c.PassportConcurrency, c.LiveConcurrency,
		c.MaxAttempts, c.RetryCodes, c.RetryBase, c.RetryMax, c.OnAccountError, c.OnLostAnswer, c.DigitCheck, c.ReissuesPerDay, c.Listen, c.LogFormat, c.LogLevel)
	want := fmt.Sprint("redis://127.0.0.1:6379/0", "", "ap-south-1", "kycq-inbox", "kycq-masked", "kycq-records",
		"https://sandbox.cashfree.com/verification", 30*time.Second, "100/m", "100/m", 8, 8, 4,
		6, []int{500, 502}, 5*time.Second, 10*time.Minute, "hold", "review", "off", 100, "", "auto", "info")
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(c.Warnings()) != 0 {
		t.Errorf("warnings without a reason: %q", c.Warnings())
	}
}

func TestFlagsBeatEnvironmentBeatsYAMLBeatsDefaults(t *testing.T) {
	t.Parallel()
	yaml := map[string]string{"kycq.yaml": "max_attempts: 2\nretry_base: 2s\ns3_region: eu-west-1\nretry_codes: [500, 503]\ninsecure_no_sealing: true\n"}
	c := given{
		files: yaml,
		env:   []string{"KYCQ_CONFIG=kycq.yaml", "KYCQ_PASSPORT_RATE=50/30s", "KYCQ_RETRY_BASE=3s", "KYCQ_S3_REGION=eu-west-2"},
		args:  []string{"--s3-region=eu-west-3"},
	}.mustLoad(t)
	if c.MaxAttempts != 2 || c.RetryBase != 3*time.Second || c.S3Region != "eu-west-3" || c.PassportRate.String() != "50/30s" || c.LiveConcurrency != 4 ||
		fmt.Sprint(c.RetryCodes) != "[500 503]" || !c.InsecureNoSealing {
		t.Errorf("got %+v", c)
	}
	sources := map[string]string{}
	for _, v := range c.Values() {
		sources[v.Name] = v.Source
	}
	for name, want := range map[string]string{"max_attempts": "kycq.yaml", "retry_base": "environment", "s3_region": "flag", "live_concurrency": "default"} {
		if sources[name] != want {
			t.Errorf("source of %s: got %q, want %q", name, sources[name], want)
		}
	}
}

func TestConfigFlagBeatsConfigVariable(t *testing.T) {
	t.Parallel()
	c := given{
		files: map[string]string{"a.yaml": "max_attempts: 1", "b.yaml": "max_attempts: 2"},
		env:   []string{"KYCQ_CONFIG=a.yaml"}, args: []string{"--config", "b.yaml"},
	}.mustLoad(t)
	if c.MaxAttempts != 2 {
		t.Errorf("got %d", c.MaxAttempts)
	}
}

func TestEveryLayerCanNameASecretsFile(t *testing.T) {
	t.Parallel()
	files := map[string]string{"/run/s": "\ufeffs3cret\r\n", "/run/t": "other", "c.yaml": "cashfree_client_secret_file: /run/s"}
	for name, g := range map[string]given{
		"environment":             {env: []string{"KYCQ_CASHFREE_CLIENT_SECRET_FILE=/run/s"}},
		"flag":                    {args: []string{"--cashfree-client-secret-file=/run/s"}},
		"YAML":                    {args: []string{"--config=c.yaml"}},
		"flag over environment":   {args: []string{"--cashfree-client-secret-file=/run/s"}, env: []string{"KYCQ_CASHFREE_CLIENT_SECRET=other"}},
		"environment over YAML":   {args: []string{"--config=c.yaml"}, env: []string{"KYCQ_CASHFREE_CLIENT_SECRET=s3cret"}},
		"overridden file is left": {args: []string{"--cashfree-client-secret-file=/run/s"}, env: []string{"KYCQ_CASHFREE_CLIENT_SECRET_FILE=/missing"}},
	} {
		g.files = files
		if got := g.mustLoad(t).CashfreeClientSecret.Reveal(); got != "s3cret" {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// A file in the current folder may be a customer's.
func TestNoYAMLFileIsLookedForInTheCurrentFolder(t *testing.T) {
	t.Parallel()
	files := map[string]string{"xdg/kycq/config.yaml": "max_attempts: 1", "home/.config/kycq/config.yaml": "max_attempts: 1", "kycq/config.yaml": "max_attempts: 1"}
	c := given{env: []string{"XDG_CONFIG_HOME=xdg", "HOME=home"}, files: files}.mustLoad(t)
	if c.MaxAttempts != 6 || c.File != "" {
		t.Errorf("%d from %q", c.MaxAttempts, c.File)
	}
}

func TestEmptyVariablesCountAsNotSet(t *testing.T) {
	t.Parallel()
	c := given{files: map[string]string{"k": "{}"}, env: []string{"KYCQ_KEYSET=", "KYCQ_KEYSET_FILE=k", "KYCQ_MAX_ATTEMPTS="}}.mustLoad(t)
	if c.Keyset.Reveal() != "{}" || c.MaxAttempts != 6 {
		t.Errorf("got %q and %d", c.Keyset.Reveal(), c.MaxAttempts)
	}
}

func TestAllProblemsAreReportedInTheUsersSpelling(t *testing.T) {
	t.Parallel()
	_, err := given{
		env:   []string{"KYCQ_RETRY_BASE=5x", "KYCQ_CONFIG=c.yaml"},
		args:  []string{"--max-attempts=0"},
		files: map[string]string{"c.yaml": "on_lost_answer: maybe"},
	}.load(t)
	var problems *config.Error
	if !errors.As(err, &problems) || len(problems.Problems) != 3 {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"KYCQ_RETRY_BASE: ", "--max-attempts: ", "on_lost_answer in c.yaml: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
}

func TestErrorsOfInvalidSettingsContainTheFix(t *testing.T) {
	t.Parallel()
	yaml := func(text string) given {
		return given{args: []string{"--config=c.yaml"}, files: map[string]string{"c.yaml": text}}
	}
	env := func(entries ...string) given { return given{env: entries} }
	for name, c := range map[string]struct {
		given given
		want  string
	}{
		"value and file":        {env("KYCQ_KEYSET={}", "KYCQ_KEYSET_FILE=k"), "KYCQ_KEYSET and KYCQ_KEYSET_FILE are both set"},
		"value and file (YAML)": {yaml("keyset: k\nkeyset_file: k"), "are both set"},
		"missing secret file":   {env("KYCQ_KEYSET_FILE=/nowhere"), "KYCQ_KEYSET_FILE: open /nowhere"},
		"empty secret file":     {given{env: []string{"KYCQ_KEYSET_FILE=k"}, files: map[string]string{"k": "\n"}}, "k is empty"},
		"missing YAML":          {given{args: []string{"--config=nowhere.yaml"}}, "configuration file: open nowhere.yaml"},
		"not YAML":              {yaml("a: b: c"), "is not YAML"},
		"unknown YAML key":      {yaml("redis_ulr: x"), `unknown key "redis_ulr": did you mean redis_url?`},
		"no file form":          {yaml("s3_region_file: x"), "s3_region cannot be read from a file"},
		"nested YAML":           {yaml("s3_region: {a: b}"), "not a plain value"},
		"Redis scheme":          {env("KYCQ_REDIS_URL=localhost:6379"), "write redis://host:6379/0"},
		"password as flag":      {given{args: []string{"--redis-url=redis://:hunter2@h/0"}}, "use KYCQ_REDIS_URL or KYCQ_REDIS_URL_FILE"},
		"endpoint":              {env("KYCQ_S3_ENDPOINT=127.0.0.1:9000"), "write http(s)://host[:port]"},
		"plain http to vendor":  {env("KYCQ_CASHFREE_URL=http://api.cashfree.com/verification"), "write https://"},
		"same buckets":          {env("KYCQ_S3_INBOX_BUCKET=one", "KYCQ_S3_MASKED_BUCKET=one"), "three different buckets"},
		"bucket name":           {env("KYCQ_S3_INBOX_BUCKET=My_Bucket"), "is not a bucket name"},
		"rate":                  {env("KYCQ_AADHAAR_RATE=100"), "for example 100/m"},
		"rate of zero":          {env("KYCQ_AADHAAR_RATE=0/m"), "for example 100/m"},
		"rate of no unit":       {env("KYCQ_AADHAAR_RATE=100/x"), "for example 100/m"},
		"retry code":            {env("KYCQ_RETRY_CODES=500,422"), `"422" is not a status that can be retried`},
		"timeout too long":      {env("KYCQ_CASHFREE_TIMEOUT=10m"), "from 1s to 5m"},
		"timeout without unit":  {env("KYCQ_CASHFREE_TIMEOUT=30"), "with its unit"},
		"backoffs crossed":      {env("KYCQ_RETRY_BASE=1m", "KYCQ_RETRY_MAX=1s"), "shorter than the first backoff"},
		"concurrency":           {env("KYCQ_LIVE_CONCURRENCY=0"), "from 1 to 1024"},
		"image host":            {env("KYCQ_IMAGE_HOSTS=http://x"), "without scheme"},
		"listen":                {env("KYCQ_LISTEN=8080"), "write host:port"},
		"public key":            {env("KYCQ_CASHFREE_PUBLIC_KEY=abc"), "is not PEM"},
		"private key":           {env("KYCQ_CASHFREE_PUBLIC_KEY=-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"), "is a private key"},
		"proxy without hosts":   {env("KYCQ_IMAGE_PROXY=http://proxy:3128"), "KYCQ_IMAGE_PROXY needs KYCQ_IMAGE_HOSTS"},
		"proxy of another kind": {env("KYCQ_IMAGE_PROXY=socks5://proxy:1080", "KYCQ_IMAGE_HOSTS=a.example"), "KYCQ_IMAGE_PROXY: is not a proxy"},
		"keyset and insecure":   {env("KYCQ_KEYSET={}", "KYCQ_INSECURE_NO_SEALING=1"), "contradict"},
		"bool":                  {env("KYCQ_ALLOW_VOLATILE_REDIS=maybe"), "neither true nor false"},
		"client id":             {env("KYCQ_CASHFREE_CLIENT_ID=a b"), "holds a space"},
		"operator":              {env("KYCQ_OPERATOR=asha\nroot"), "is not a name"},
		"dashboard path":        {env("KYCQ_DASHBOARD_PATH=/a/../b"), "is not a path"},
		"certificate alone":     {env("KYCQ_TLS_CERT=x"), "go together"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := c.given.load(t); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestAreasThatACommandDoesNotUseAreNotChecked(t *testing.T) {
	t.Parallel()
	given{env: []string{"KYCQ_RETRY_BASE=5x"}, areas: []config.Area{config.S3}}.mustLoad(t)
}

func TestWarningsSuggestTheNearestVariable(t *testing.T) {
	t.Parallel()
	c := given{env: []string{
		"KYCQ_S3_ENDPIONT=http://x", "KYCQ_S3_REGION_FILE=/x", "KYCQ_QUITE_ANOTHER_THING=1",
		"KYCQ_TEST_REDIS=x", "KYCQ_MINIO_IMAGE=x", "KYCQ_PORT=tcp://10.0.0.1:80", "KYCQ_REDIS_SERVICE_HOST=10.0.0.1",
		"KYCQ_PORT_80_TCP_ADDR=10.0.0.1", "HOME=/root",
	}}.mustLoad(t)
	want := []string{
		"unknown variable KYCQ_QUITE_ANOTHER_THING is ignored",
		"unknown variable KYCQ_S3_ENDPIONT is ignored: did you mean KYCQ_S3_ENDPOINT?",
		"unknown variable KYCQ_S3_REGION_FILE is ignored: did you mean KYCQ_S3_REGION?",
	}
	if got := strings.Join(c.Warnings(), "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s", got)
	}
}

// Each case puts a canary into the value, valid or not, of a setting that may hold a secret.
func TestErrorsAndValuesContainNoSecrets(t *testing.T) {
	t.Parallel()
	const canary = "hunter2"
	for _, g := range []given{
		{env: []string{
			"KYCQ_REDIS_URL=redis://user:" + canary + "@redis:6379/0", "KYCQ_CASHFREE_CLIENT_SECRET=" + canary, "KYCQ_KEYSET=" + canary,
		}},
		{env: []string{"KYCQ_REDIS_URL=redis-sentinel://a,b/0?master=m&sentinel_password=" + canary}},
		{env: []string{"KYCQ_REDIS_URL=redis://:a@" + canary + "@redis"}},
		{env: []string{"KYCQ_REDIS_URL=" + canary}},
		{env: []string{"KYCQ_S3_ENDPOINT=http://u:" + canary + "@h:x"}},
		{env: []string{"KYCQ_CASHFREE_URL=https://u:" + canary + "@h"}},
		{env: []string{"KYCQ_CASHFREE_PUBLIC_KEY=" + canary}},
		{args: []string{"--redis-url=redis://:" + canary + "@h"}},
		{args: []string{"--config=c"}, files: map[string]string{"c": "keyset: [" + canary}},
	} {
		c, err := g.load(t)
		var seen strings.Builder
		if err != nil {
			seen.WriteString(err.Error())
		} else {
			fmt.Fprintf(&seen, "%+v %v %#v", c, c.Values(), c)
		}
		if strings.Contains(seen.String(), canary) {
			t.Errorf("%v shows the secret: %s", g, seen.String())
		}
	}
}

func TestRequireReportsAllMissingSettingsWithTheFix(t *testing.T) {
	t.Parallel()
	c := given{}.mustLoad(t)
	err := c.Require("cashfree_client_id", "cashfree_client_secret", "s3_region")
	want := "KYCQ_CASHFREE_CLIENT_ID is missing: set it, or use --cashfree-client-id\n" +
		"KYCQ_CASHFREE_CLIENT_SECRET is missing: set it, or name a file that holds it with KYCQ_CASHFREE_CLIENT_SECRET_FILE or --cashfree-client-secret-file"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestSealingIsRequiredUnlessSwitchedOff(t *testing.T) {
	t.Parallel()
	if err := (given{}).mustLoad(t).RequireSealing(); !errors.Is(err, config.ErrNoKeyset) {
		t.Errorf("got %v", err)
	}
	for _, env := range []string{"KYCQ_KEYSET={}", "KYCQ_INSECURE_NO_SEALING=true"} {
		if err := (given{env: []string{env}}).mustLoad(t).RequireSealing(); err != nil {
			t.Errorf("%s: %v", env, err)
		}
	}
}

func TestAnEmptyFlagClearsASetting(t *testing.T) {
	t.Parallel()
	c := given{env: []string{"KYCQ_S3_ENDPOINT=http://x"}, args: []string{"--s3-endpoint="}}.mustLoad(t)
	if c.S3Endpoint != "" {
		t.Errorf("got %q", c.S3Endpoint)
	}
}

// A secret's file that all users can read is refused, unless a folder keeps them out.
func TestAFileOfASecretThatOthersCanReadIsRefused(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "open")
	keyset := filepath.Join(folder, "keyset.json")
	for _, c := range []struct {
		above, mode os.FileMode
		refused     bool
	}{{0o755, 0o644, true}, {0o755, 0o600, false}, {0o755, 0o640, false}, {0o700, 0o644, false}} {
		if err := errors.Join(os.MkdirAll(folder, 0o700), os.WriteFile(keyset, []byte("{}"), 0o600), os.Chmod(keyset, c.mode), os.Chmod(folder, 0o755), os.Chmod(filepath.Dir(folder), c.above),
			os.Chmod(filepath.Dir(filepath.Dir(folder)), 0o755)); err != nil {
			t.Fatal(err)
		}
		link := filepath.Join(t.TempDir(), "link") // in a folder that others cannot enter
		if err := errors.Join(os.Symlink(keyset, link), os.Chmod(filepath.Dir(link), 0o700)); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{keyset, link} {
			_, err := config.Load(config.Sources{Environ: []string{"KYCQ_KEYSET_FILE=" + path}}, config.Sealing)
			if refused := err != nil && strings.Contains(err.Error(), "chmod 600"); refused != c.refused {
				t.Errorf("%o in %o: %v", c.mode, c.above, err)
			}
		}
		if _, err := config.Load(config.Sources{Environ: []string{"KYCQ_CASHFREE_PUBLIC_KEY_FILE=" + keyset}}, config.Cashfree); err == nil || strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("a public key of mode %o: %v", c.mode, err)
		}
		if _, err := config.Load(config.Sources{Environ: []string{"KYCQ_TLS_CERT_FILE=" + keyset}}, config.API); err == nil || strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("a certificate of mode %o: %v", c.mode, err)
		}
	}
}

// A container's engine decides on the mode of the files that it mounts.
func TestAReadableFileOnAReadOnlyMountIsAWarning(t *testing.T) { //nolint:paralleltest // it replaces what others use
	config.AllReadOnly(t)
	folder := t.TempDir()
	users := filepath.Join(folder, "users")
	if err := errors.Join(os.WriteFile(users, []byte("x"), 0o600), os.Chmod(users, 0o644), os.Chmod(folder, 0o755), os.Chmod(filepath.Dir(folder), 0o755)); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Sources{Environ: []string{"KYCQ_DASHBOARD_USERS_FILE=" + users}}, config.Dashboard)
	if err != nil || len(c.Careless()) != 1 || !strings.Contains(c.Careless()[0], users) {
		t.Errorf("%v, %v", c, err)
	}
}

func TestCarelessSettingsAreNamed(t *testing.T) {
	t.Parallel()
	for setting, careless := range map[string]bool{
		"KYCQ_REDIS_URL=redis://:x@redis.example:6379/0": true, "KYCQ_REDIS_URL=rediss://:x@redis.example:6379/0": false,
		"KYCQ_REDIS_URL=redis://:x@127.0.0.1:6379/0": false, "KYCQ_REDIS_URL=redis://redis.example:6379/0": false,
		"KYCQ_S3_ENDPOINT=http://s3.example": true, "KYCQ_S3_ENDPOINT=https://s3.example": false, "KYCQ_S3_ENDPOINT=http://localhost:9000": false,
		"KYCQ_IMAGE_PROXY=http://u:x@proxy.example": true, "KYCQ_IMAGE_PROXY=http://proxy.example": false, "KYCQ_IMAGE_PROXY=https://u:x@proxy.example": false,
	} {
		c, err := config.Load(config.Sources{Environ: []string{setting, "KYCQ_IMAGE_HOSTS=images.example"}})
		if err != nil || (len(c.Careless()) > 0) != careless {
			t.Errorf("%s: %v, %v", setting, c.Careless(), err)
		}
	}
	var environ []string
	for _, host := range []string{"api.cashfree.com", "API.Cashfree.com:443", "api.cashfree.com."} {
		environ = []string{"KYCQ_CASHFREE_URL=https://" + host + "/verification", "KYCQ_IMAGE_HOSTS=10.0.0.1"}
		_, err := config.Load(config.Sources{Environ: environ}, config.Cashfree)
		if err == nil || !strings.Contains(err.Error(), "KYCQ_IMAGE_HOSTS") {
			t.Errorf("image hosts with the live API, %s: %v", host, err)
		}
	}
	if _, err := config.Load(config.Sources{Environ: append(environ, "KYCQ_IMAGE_PROXY=http://proxy:3128")}, config.Cashfree); err != nil {
		t.Errorf("with a proxy: %v", err)
	}
}
