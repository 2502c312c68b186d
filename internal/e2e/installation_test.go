package e2e

import (
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/testenv"
	"github.com/kycq/kycq/storage/storagetest"
)

// Buckets, Redis and account that do not belong together are refused before anything is enqueued or called.
func TestAWorkerOfAnotherInstallationIsRefused(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.enqueuePassports("before") // a producer may be first
	s.start("worker")
	if rec := s.wait("passport", "before"); !rec.State.Final() {
		t.Fatalf("the first job is %s", rec.State)
	}
	called := s.vendor.count("before")

	others := storagetest.StartMinIO(t)
	others.Store(t)
	cfg := others.Config()
	for name, c := range map[string]struct {
		settings []string
		says     string
		producer int // exit code of a producer
	}{
		"another Redis":  {[]string{"KYCQ_REDIS_URL=" + testenv.Redis(t)}, "another Redis drives these buckets", 6},
		"the live API":   {[]string{"KYCQ_CASHFREE_URL=https://api.cashfree.com/verification", "KYCQ_IMAGE_HOSTS="}, "use other buckets", 0},
		"another port":   {[]string{"KYCQ_CASHFREE_URL=http://127.0.0.1:9/verification"}, "use other buckets", 0},
		"another client": {[]string{"KYCQ_CASHFREE_CLIENT_ID=other"}, "kycq storage adopt --client-id-changed", 0},
		"other buckets": {[]string{
			"KYCQ_S3_ENDPOINT=" + cfg.Endpoint, "KYCQ_S3_INBOX_BUCKET=" + cfg.InboxBucket,
			"KYCQ_S3_MASKED_BUCKET=" + cfg.MaskedBucket, "KYCQ_S3_RECORDS_BUCKET=" + cfg.RecordsBucket,
		}, "kycq storage adopt --reason TEXT", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			other := s.with(c.settings...)
			other.t = t
			if _, stderr, code := other.run(nil, "worker"); code != 2 || !strings.Contains(stderr, c.says) {
				t.Errorf("a worker: exit code %d, %s", code, stderr)
			}
			_, stderr, code := other.run(nil, "enqueue", "passport", "--id", "before", "--file-number", canary+"00001",
				"--dob", "1990-01-31", "--name", canary+" Person")
			if code != c.producer {
				t.Errorf("a producer: exit code %d, %s", code, stderr)
			}
		})
	}
	t.Cleanup(func() {
		if n := s.vendor.count("before"); n != called {
			t.Errorf("%d further calls", n-called)
		}
	})
}

func TestAChangeOfTheQRCheckIsInTheAuditTrailAndInRecords(t *testing.T) {
	t.Parallel()
	s := newStack(t).with("KYCQ_QR_CHECK=readable")
	s.enqueueAadhaar("A")
	s.start("worker")
	if rec := s.wait("aadhaar", "A"); rec.QRCheck != "readable" {
		t.Errorf("the record of state %s says %q", rec.State, rec.QRCheck)
	}
	stdout, stderr, code := s.run(nil, "audit", "list")
	if code != 0 || !strings.Contains(stdout, "settings.qr_check") {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
}
