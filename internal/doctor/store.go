package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kycq/kycq/internal/access"
	"github.com/kycq/kycq/internal/clocks"
	"github.com/kycq/kycq/internal/objects"
)

// maxSkew leaves a margin: S3 accepts signatures up to 15 minutes off.
const maxSkew = 5 * time.Minute

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
	skew := checkClock(ctx, ahead, t.Redis)
	if skew.Status == Failure {
		// S3 may refuse all requests because of it.
		return []Finding{fine(check, "reachable"), skew, skipped(check+"-buckets", "fix the clock first")}
	}
	return append(t.checkBuckets(ctx, check), skew)
}

// checkBuckets checks the store as a worker does, and the permissions of the role.
func (t Target) checkBuckets(ctx context.Context, check string) []Finding {
	var buckets []objects.BucketCheck
	var selfTest error
	if t.Role == access.Worker || t.Role == access.Operator {
		buckets = t.Store.Check(ctx)
		for _, b := range buckets {
			selfTest = errors.Join(selfTest, b.Err)
		}
	}
	lacking, err := t.Store.Denied(ctx, access.S3(t.Role), selfTest)
	if err != nil && buckets == nil { // else the buckets have the same error
		return []Finding{checkBucket(check, objects.BucketCheck{Err: err})}
	}
	puts := func(all []access.Permission) int {
		return len(slices.DeleteFunc(slices.Clone(all), func(p access.Permission) bool {
			return p.Action != "PutObject" || strings.HasSuffix(p.Key, ".json") // which are tried only if the others work
		}))
	}
	if n := puts(lacking); n > 1 && n == puts(access.S3(t.Role)) {
		lacking, err = nil, errors.Join(err, selfTest) // the buckets require encryption: see their error
	}
	var permissions []Finding
	for _, p := range lacking {
		line := failure(check+"-"+p.Bucket+"-permissions", Credentials, fmt.Sprintf("the credentials lack %s in the %s bucket, which a %s needs", p, p.Bucket, t.Role),
			fmt.Sprintf("grant it: kycq storage policy %s prints the policy", t.Role))
		if p.Optional() {
			line.Status, line.Cause = Warning, ""
		}
		permissions = append(permissions, line)
		for i := range buckets { // the permission says it better
			if buckets[i].Role == p.Bucket && !p.Optional() && errors.Is(buckets[i].Err, objects.ErrDenied) {
				buckets[i].Err, buckets[i].Denied = nil, true
			}
		}
	}
	lines := readBuckets(check, buckets)
	if err == nil && len(lacking) == 0 {
		permissions = []Finding{fine(check+"-permissions", fmt.Sprintf("the credentials have every permission that a %s needs", t.Role))}
	}
	return append(lines, permissions...)
}

// checkClock compares the clocks of this machine, S3 and Redis, and names the one that is wrong.
func checkClock(ctx context.Context, s3 time.Duration, r Redis) Finding {
	const check = "clock"
	redis := s3 // unknown
	if r != nil {
		if ahead, err := r.Clock(ctx); err == nil {
			redis = ahead
		}
	}
	wrong, off, whose := s3, "this machine", "this machine (timedatectl set-ntp true)"
	switch {
	case max(s3.Abs(), redis.Abs()) <= clocks.MaxOffset:
		return fine(check, "the clocks of this machine, S3 and Redis agree")
	case s3.Abs() <= clocks.MaxOffset:
		wrong, off, whose = -redis, "Redis", "the Redis server"
	case redis.Abs() <= clocks.MaxOffset:
		wrong, off, whose = -s3, "S3", "the S3 server"
	}
	direction := "ahead"
	if wrong < 0 {
		direction = "behind"
	}
	text := fmt.Sprintf("the clock of %s is %s %s", off, wrong.Abs().Round(time.Second), direction)
	fix := "enable NTP on " + whose
	stops := min(s3.Abs(), redis.Abs()) > clocks.StopOffset
	if stops {
		text += ": a worker here takes no jobs"
	}
	if stops || s3.Abs() >= maxSkew {
		return failure(check, Environment, text, fix)
	}
	return warning(check, text, fix)
}

func readBuckets(check string, buckets []objects.BucketCheck) []Finding {
	var lines []Finding
	deniedCount, unreachableCount := 0, 0
	for _, t := range buckets {
		if t.Denied {
			continue
		}
		lines = append(lines, checkBucket(check+"-"+t.Role, t))
		if t.Err == nil {
			lines = append(lines, checkRetention(check+"-"+t.Role+"-retention", t)...)
			lines = append(lines, checkProtection(check+"-"+t.Role+"-protection", t)...)
		}
		switch {
		case errors.Is(t.Err, objects.ErrDenied):
			deniedCount++
		case errors.Is(t.Err, objects.ErrUnreachable):
			unreachableCount++
		}
	}
	// If all buckets fail alike, report it once.
	switch {
	case deniedCount > 0 && deniedCount == len(buckets):
		return []Finding{denied(check, buckets[0].Err)}
	case unreachableCount > 0 && unreachableCount == len(buckets):
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
	case errors.Is(t.Err, objects.ErrRegion):
		return failure(check, Environment, t.Err.Error(), "use buckets in an allowed region, or correct KYCQ_S3_ALLOWED_REGIONS")
	case t.Err != nil:
		return failure(check, Environment, name+": "+t.Err.Error(), "check the S3 server")
	case t.Public:
		return failure(check, Environment, name+" is open to everybody, without credentials",
			"remove the policy or ACL that opens it, and turn on Block Public Access")
	}
	return fine(check, name+": put, conditional put, get and delete work; anonymous access is denied")
}

// checkRetention says what the bucket keeps of deleted objects, and returns a warning for each problem of it.
func checkRetention(check string, t objects.BucketCheck) []Finding {
	lines := []Finding{fine(check, fmt.Sprintf("bucket %s: %s", t.Bucket, t.Retention))}
	for _, w := range t.Retention.Warnings {
		lines = append(lines, warning(check, w.Message, w.Fix))
	}
	return lines
}

// checkProtection says how a bucket is protected. What the store does not tell is skipped, not fine.
func checkProtection(check string, t objects.BucketCheck) (lines []Finding) {
	for _, a := range t.Protection {
		text := fmt.Sprintf("bucket %s: %s", t.Bucket, a.Text)
		switch {
		case a.Unknown:
			lines = append(lines, skipped(check, text))
		case a.Fix != "":
			lines = append(lines, warning(check, text, a.Fix))
		default:
			lines = append(lines, fine(check, text))
		}
	}
	return lines
}

func denied(check string, err error) Finding {
	return failure(check, Credentials, err.Error(), "correct the S3 credentials, or grant them access")
}

func unreachable(check string, err error) Finding {
	return failure(check, Unreachable, err.Error(), "correct KYCQ_S3_ENDPOINT, or check network and server")
}
