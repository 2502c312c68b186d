package main

import (
	"testing"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/wire"
	"github.com/kycq/kycq/storage/storagetest"
)

// A person who runs commands and uses the dashboard on one machine has a chain with MACs and one without.
func TestChangesOnTheDashboardForgeNoChain(t *testing.T) {
	server := storagetest.StartFake(t)
	store := server.Store(t)
	keyset := t.TempDir() + "/keyset.json"
	if err := writeTestKeyset(keyset); err != nil {
		t.Fatal(err)
	}
	s3 := server.Config()
	t.Setenv("AWS_ACCESS_KEY_ID", s3.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3.SecretAccessKey.Reveal())
	environ := []string{
		"KYCQ_S3_ENDPOINT=" + s3.Endpoint, "KYCQ_S3_REGION=" + s3.Region, "KYCQ_S3_RECORDS_BUCKET=" + s3.RecordsBucket,
		"KYCQ_S3_INBOX_BUCKET=" + s3.InboxBucket, "KYCQ_S3_MASKED_BUCKET=" + s3.MaskedBucket, "KYCQ_OPERATOR=asha",
	}
	ofDashboard, err := config.Load(config.Sources{Environ: environ}, config.S3, config.Audit)
	if err != nil {
		t.Fatal(err)
	}
	ofCommands, err := config.Load(config.Sources{Environ: append(environ, "KYCQ_KEYSET_FILE="+keyset)}, config.S3, config.Audit, config.Sealing)
	if err != nil {
		t.Fatal(err)
	}
	user, host, err := wire.Operator(ofCommands)
	if err != nil {
		t.Fatal(err)
	}
	enter, err := auditOfDashboard(t.Context(), ofDashboard, true, false)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // in both orders
		if _, err := wire.AppendAudit(t.Context(), ofCommands, store, user, host, audit.Act{Action: "fleet.resume"}); err != nil {
			t.Fatal(err)
		}
		if err := enter(t.Context(), "asha", map[string]string{"method": "POST"}); err != nil {
			t.Fatal(err)
		}
	}
	mac, err := wire.AuditMAC(ofCommands)
	if err != nil {
		t.Fatal(err)
	}
	report, err := audit.Verify(t.Context(), audit.BucketOf(store.Buckets()), mac)
	if err != nil || len(report.Findings) > 0 || len(report.Chains) != 2 {
		t.Errorf("%v, %+v", err, report)
	}
}
