// Package doctor finds out why kycq would not work here, before it is started.
//
// It looks at one thing after another and says about each one line: fine, or what is wrong and what to do. What cannot be
// looked at because something before it is wrong is skipped, so that one fault gives one complaint. It changes nothing
// but throw-away objects in the buckets, and spends one call of Cashfree's rate that cannot be charged.
//
// No line holds a secret or anything personal.
package doctor

import (
	"context"
	"time"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Status is how a check ended.
type Status string

// The statuses, the worst last.
const (
	Skipped Status = "skip"
	OK      Status = "ok"
	Warning Status = "warn"
	Failure Status = "fail"
)

// Cause says whose fault a failure is, for the exit code.
type Cause string

// The causes.
const (
	Settings    Cause = "settings"
	Credentials Cause = "credentials"
	Balance     Cause = "balance"
	Unreachable Cause = "unreachable"
	Environment Cause = "environment" // a server, a bucket or this machine is not as it should be
)

// Finding is one line.
type Finding struct {
	// Check is the name of what was looked at; it is stable, for programs.
	Check   string `json:"check"`
	Status  Status `json:"status"`
	Message string `json:"message"`
	// Fix says what to do; empty where nothing is to be done.
	Fix   string `json:"fix,omitempty"`
	Cause Cause  `json:"cause,omitempty"`
}

// Redis is asked about itself.
type Redis interface {
	Check(ctx context.Context) ([]redisx.Finding, error)
	Memory(ctx context.Context) (redisx.Memory, error)
	// Queued reads a few tasks of each queue.
	Queued(ctx context.Context) ([]tasks.Payload, error)
}

// Store is *storage.Store.
type Store interface {
	Clock(ctx context.Context) (ahead time.Duration, err error)
	CheckBuckets(ctx context.Context) []storage.BucketCheck
}

// Vendor is *cashfree.Client.
type Vendor interface {
	Check(ctx context.Context) *cashfree.Reply
}

// Patient is what is examined. A part that is nil could not be built: its entry in Unfit says why, or it is not needed.
type Patient struct {
	// Problems and Warnings are about the settings, one line each.
	Problems, Warnings []string
	// Zone is the value of TZ, empty where unset.
	Zone   string
	Redis  Redis
	Store  Store
	Vendor Vendor
	// Keyset is nil where there is none; KeysetErr says why.
	Keyset    *tasks.Keyset
	KeysetErr error
	// VendorErr says why there is no Vendor, where it is no fault of the settings as such: credentials are missing.
	VendorErr error
	// AllowVolatile makes warnings of a Redis that loses data.
	AllowVolatile bool
}

// Examine looks at everything. It takes at most about a minute, the longest where everything swallows packets.
func Examine(ctx context.Context, p Patient) []Finding {
	var all []Finding
	for _, check := range []func(context.Context, Patient) []Finding{checkSettings, checkZone, checkRedis, checkStore, checkKeyset, checkVendor} {
		all = append(all, check(ctx, p)...)
	}
	return all
}

// Worst is the worst status among the findings.
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
