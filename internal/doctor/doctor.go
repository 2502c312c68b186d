// Package doctor checks whether kycq can work with its settings and environment.
//
// Each check yields one Finding per subject, with a fix if it fails. A check that depends on a failed one is skipped. The
// checks create and delete temporary objects in the buckets and make one call of Cashfree that cannot be charged.
// Findings contain no secrets and no personal data.
package doctor

import (
	"context"
	"iter"
	"time"

	"github.com/kycq/kycq/internal/access"
	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/installation"
	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Status is the result of a check.
type Status string

// The statuses, worst last.
const (
	Skipped Status = "skip"
	OK      Status = "ok"
	Warning Status = "warn"
	Failure Status = "fail"
)

// Cause classifies a failure, for the exit code.
type Cause string

// The causes.
const (
	Settings    Cause = "settings"
	Credentials Cause = "credentials"
	Balance     Cause = "balance"
	Unreachable Cause = "unreachable"
	Environment Cause = "environment" // a server, a bucket or this machine is misconfigured
)

// Finding is the result of one check.
type Finding struct {
	Check   string `json:"check"` // name of the check; stable
	Status  Status `json:"status"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"` // set for warnings and failures
	Cause   Cause  `json:"cause,omitempty"`
}

// Redis is the server to check.
type Redis interface {
	Check(ctx context.Context, role access.Role) ([]redisx.Finding, error)
	Memory(ctx context.Context) (redisx.Memory, error)
	// Clock returns how far this machine's clock is ahead of that of Redis.
	Clock(ctx context.Context) (ahead time.Duration, err error)
	Holds(ctx context.Context) ([]hold.Hold, error)
	// Paused lists the queues that are paused in asynq, by a hold or by hand, by the kind of their jobs ("" for the feed).
	Paused(ctx context.Context) (kinds map[string]string, err error)
	Workers(ctx context.Context) ([]redisx.Worker, error)
	// Renewed reports whether a renewal of images was complete lately.
	Renewed(ctx context.Context) (bool, error)
	// Queued reads a few tasks of each queue.
	Queued(ctx context.Context) ([]tasks.JobSpec, error)
}

// Store is *objects.Buckets.
type Store interface {
	Clock(ctx context.Context) (ahead time.Duration, err error)
	Check(ctx context.Context) []objects.BucketCheck
	Denied(ctx context.Context, want []access.Permission, selfTest error) ([]access.Permission, error)
}

// Vendor is *cashfree.Client.
type Vendor interface {
	Check(ctx context.Context) *cashfree.Reply
	ImageRoute(ctx context.Context) cashfree.ImageRoute
}

// Target is the installation to check. A part that could not be built is nil.
type Target struct {
	// Role is whose credentials and settings these are.
	Role               access.Role
	Problems, Warnings []string // of the settings, one line each
	Careless           []string // settings that expose secrets or data, one line each
	Zone               string   // value of TZ; may be empty
	Redis              Redis
	Store              Store
	Keyset             *tasks.Keyset
	KeysetErr          error // why Keyset is nil
	// Inbox lists the images in the inbox bucket; nil without a store.
	Inbox func(ctx context.Context) iter.Seq2[objects.Info, error]
	// Subscribers reads the list of webhook endpoints in S3; nil without a store.
	Subscribers func(ctx context.Context) ([]storage.Subscriber, error)
	// Prometheus asks the dashboard's Prometheus whether it has metrics of kycq; nil if none is set.
	Prometheus func(ctx context.Context) (found bool, err error)
	Vendor     Vendor
	VendorErr  error // why Vendor is nil
	// Installation compares Redis, buckets and account; nil if one of their settings is missing.
	Installation func(ctx context.Context) (installation.Found, error)
	// DigitCheck is the version of Tesseract, or off; DigitErr says why it cannot be used, and whether workers start without it.
	DigitCheck    string
	DigitErr      error
	DigitRequired bool
	AllowVolatile bool // report a Redis that may lose data as a warning
}

// Run runs all checks of the role. It takes about a minute if all servers time out.
func Run(ctx context.Context, t Target) []Finding {
	checks := []func(context.Context, Target) []Finding{checkSettings, checkZone, checkRedis, checkStore}
	if t.Role != access.Dashboard {
		checks = append(checks, checkKeyset)
		if t.Role != access.Producer {
			checks = append(checks, checkSubscribers)
		}
	}
	if t.Role == access.Worker {
		checks = append(checks, checkInbox, checkDigits, checkVendor, checkInstallation, checkPrometheus)
	}
	var all []Finding
	for _, check := range checks {
		all = append(all, check(ctx, t)...)
	}
	return all
}

// Worst returns the worst status of the findings.
func Worst(findings []Finding) Status {
	rank := map[Status]int{Skipped: 0, OK: 0, Warning: 1, Failure: 2}
	worst := OK
	for _, f := range findings {
		if rank[f.Status] > rank[worst] {
			worst = f.Status
		}
	}
	return worst
}

func fine(check, message string) Finding { return Finding{Check: check, Status: OK, Message: message} }

func skipped(check, because string) Finding {
	return Finding{Check: check, Status: Skipped, Message: because}
}

func warning(check, message, fix string) Finding {
	return Finding{Check: check, Status: Warning, Message: message, Fix: fix}
}

func failure(check string, cause Cause, message, fix string) Finding {
	return Finding{Check: check, Status: Failure, Cause: cause, Message: message, Fix: fix}
}
