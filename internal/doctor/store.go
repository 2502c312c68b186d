package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kycq/kycq/internal/objects"
)

const (
	// maxSkew leaves a margin: S3 accepts signatures up to 15 minutes off.
	maxSkew = 5 * time.Minute
	// oddSkew is more than a machine with NTP shows.
	oddSkew = 30 * time.Second
)

func checkStore(ctx context.Context, t Target) []Finding {
	const check, clock = "s3", "clock"
	if t.Store == nil {
		return []Finding{skipped(check, "fix the settings first"), skipped(clock, "needs S3")}
	}
	ahead, err := t.Store.Clock(ctx)
	switch {
	case errors.Is(err, objects.ErrDenied): // there are no credentials
		return []Finding{denied(check, err), skipped(clock, "needs S3")}
	case err != nil:
		return []Finding{unreachable(check, err), skipped(clock, "needs S3")}
	}
	skew := checkClock(ahead)
	if skew.Status == Failure {
		// S3 may refuse all requests because of it.
		return []Finding{fine(check, "reachable"), skew, skipped(check+"-buckets", "fix the clock first")}
	}
	return append(checkBuckets(check, t.Store.Check(ctx)), skew)
}

func checkClock(ahead time.Duration) Finding {
	const check, fix = "clock", "enable NTP on this machine (timedatectl set-ntp true)"
	direction, off := "ahead of", ahead
	if off < 0 {
		direction, off = "behind", -off
	}
	text := fmt.Sprintf("the clock of this machine is %s %s that of S3", off.Round(time.Second), direction)
	switch {
	case off >= maxSkew:
		return failure(check, Environment, text, fix)
	case off >= oddSkew:
		return warning(check, text, fix)
	}
	return fine(check, "the clocks of this machine and S3 agree")
}

func checkBuckets(check string, buckets []objects.BucketCheck) []Finding {
	var lines []Finding
	deniedCount, unreachableCount := 0, 0
	for _, t := range buckets {
		lines = append(lines, checkBucket(check+"-"+t.Role, t))
		switch {
		case errors.Is(t.Err, objects.ErrDenied):
			deniedCount++
		case errors.Is(t.Err, objects.ErrUnreachable):
			unreachableCount++
		}
	}
	// If all buckets fail alike, report it once.
	switch len(buckets) {
	case deniedCount:
		return []Finding{denied(check, buckets[0].Err)}
	case unreachableCount:
		return []Finding{unreachable(check, buckets[0].Err)}
	}
	return append([]Finding{fine(check, "reachable")}, lines...)
}

func checkBucket(check string, t objects.BucketCheck) Finding {
	name := fmt.Sprintf("bucket %s", t.Bucket)
	switch {
	case errors.Is(t.Err, objects.ErrNoBucket):
		return failure(check, Environment, name+" does not exist", "run `kycq storage init`, or correct the bucket's name")
	case errors.Is(t.Err, objects.ErrDenied):
		return denied(check, t.Err)
	case errors.Is(t.Err, objects.ErrUnreachable):
		return unreachable(check, t.Err)
	case errors.Is(t.Err, objects.ErrNoConditions):
		return failure(check, Environment, name+": "+t.Err.Error(), "use a store that honours conditional writes, such as AWS S3 or MinIO")
	case t.Err != nil:
		return failure(check, Environment, name+": "+t.Err.Error(), "check the S3 server")
	case t.Public:
		return failure(check, Environment, name+" is open to everybody, without credentials",
			"remove the policy or ACL that opens it, and turn on Block Public Access")
	}
	return fine(check, name+": put, conditional put, get and delete work; anonymous access is denied")
}

func denied(check string, err error) Finding {
	return failure(check, Credentials, err.Error(), "correct the S3 credentials, or grant them access")
}

func unreachable(check string, err error) Finding {
	return failure(check, Unreachable, err.Error(), "correct KYCQ_S3_ENDPOINT, or check network and server")
}
