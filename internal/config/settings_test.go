package config_test

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/kycq/kycq/internal/config"
)

// TestContractVariablesExist keeps the names that users have in their files.
func TestContractVariablesExist(t *testing.T) {
	t.Parallel()
	for _, name := range strings.Fields(`
		KYCQ_CONFIG KYCQ_REDIS_URL KYCQ_REDIS_URL_FILE KYCQ_ALLOW_VOLATILE_REDIS
		KYCQ_S3_ENDPOINT KYCQ_S3_REGION KYCQ_S3_INBOX_BUCKET KYCQ_S3_MASKED_BUCKET KYCQ_S3_RECORDS_BUCKET
		KYCQ_CASHFREE_URL KYCQ_CASHFREE_CLIENT_ID KYCQ_CASHFREE_CLIENT_SECRET KYCQ_CASHFREE_CLIENT_SECRET_FILE
		KYCQ_CASHFREE_PUBLIC_KEY KYCQ_CASHFREE_PUBLIC_KEY_FILE KYCQ_CASHFREE_TIMEOUT KYCQ_IMAGE_HOSTS
		KYCQ_KEYSET KYCQ_KEYSET_FILE KYCQ_INSECURE_NO_SEALING KYCQ_AADHAAR_RATE KYCQ_PASSPORT_RATE
		KYCQ_AADHAAR_CONCURRENCY KYCQ_PASSPORT_CONCURRENCY KYCQ_LIVE_CONCURRENCY KYCQ_MAX_ATTEMPTS KYCQ_REISSUES_PER_DAY
		KYCQ_RETRY_CODES KYCQ_RETRY_BASE KYCQ_RETRY_MAX KYCQ_ON_ACCOUNT_ERROR KYCQ_ON_LOST_ANSWER KYCQ_QR_CHECK KYCQ_DIGIT_CHECK KYCQ_LISTEN
		KYCQ_LOG_FORMAT KYCQ_LOG_LEVEL`) {
		if !config.KnownVariable(name) {
			t.Errorf("%s is not known", name)
		}
	}
}

func TestNoFlagTakesASecret(t *testing.T) {
	t.Parallel()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.AddFlags(flags)
	for _, name := range []string{"keyset", "cashfree-client-secret"} {
		if flags.Lookup(name) != nil {
			t.Errorf("--%s exists", name)
		}
		if flags.Lookup(name+"-file") == nil {
			t.Errorf("--%s-file is missing", name)
		}
	}
}

func TestEverySettingHasHelpAndAnArea(t *testing.T) {
	t.Parallel()
	if got, want := len(config.Settings(config.Areas()...)), len(config.Settings()); got != want {
		t.Errorf("%d settings are in an area, of %d", got, want)
	}
	for _, s := range config.Settings() {
		if s.Help == "" || s.Form == "" || strings.HasSuffix(s.Help, ".") {
			t.Errorf("%s: help %q, form %q", s.Name, s.Help, s.Form)
		}
	}
}
