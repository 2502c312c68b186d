package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kycq/kycq/storage"
)

const (
	// maxSkew is a third of what S3 accepts in a signature (15 min): some time to mend it before nothing works.
	maxSkew = 5 * time.Minute
	// oddSkew is more than a machine with NTP ever shows.
	oddSkew = 30 * time.Second
)

func checkStore(ctx context.Context, p Patient) []Finding {
	const check, clock = "s3", "clock"
	if p.Store == nil {
		return []Finding{skipped(check, "the settings come first"), skipped(clock, "S3 tells the time")}
	}
	ahead, err := p.Store.Clock(ctx)
	switch {
	case errors.Is(err, storage.ErrDenied): // no credentials at all: nothing was asked
		return []Finding{denied(check, err), skipped(clock, "S3 tells the time")}
	case err != nil:
		return []Finding{unreachable(check, err), skipped(clock, "S3 tells the time")}
	}
	skew := checkClock(ahead)
	if skew.Status == Failure {
		// S3 may refuse everything now, and its reason is known.
		return []Finding{fine(check, "reachable"), skew, skipped(check+"-buckets", "the clock comes first")}
	}
	return append(checkBuckets(check, p.Store.CheckBuckets(ctx)), skew)
}

func checkClock(ahead time.Duration) Finding {
	const check, fix = "clock", "let NTP set the clock of this machine (timedatectl set-ntp true)"
	direction, off := "ahead of", ahead
	if off < 0 {
		direction, off = "behind", -off
	}
	text := fmt.Sprintf("this machine's clock is %s %s S3's", off.Round(time.Second), direction)
	switch {
	case off >= maxSkew:
		return failure(check, Environment, text, fix)
	case off >= oddSkew:
		return warning(check, text, fix)
	}
	return fine(check, "this machine and S3 agree on the time")
}

func checkBuckets(check string, trials []storage.BucketCheck) []Finding {
	var lines []Finding
	refused, silent := 0, 0
	for _, t := range trials {
		lines = append(lines, checkBucket(check+"-"+t.Role, t))
		switch {
		case errors.Is(t.Err, storage.ErrDenied):
			refused++
		case errors.Is(t.Err, storage.ErrUnreachable):
			silent++
		}
	}
	// What is wrong with all buckets is wrong with the way to them.
	switch len(trials) {
	case refused:
		return []Finding{denied(check, trials[0].Err)}
	case silent:
		return []Finding{unreachable(check, trials[0].Err)}
	}
	return append([]Finding{fine(check, "reachable")}, lines...)
}

func checkBucket(check string, t storage.BucketCheck) Finding {
	name := fmt.Sprintf("bucket %s", t.Bucket)
	switch {
	case errors.Is(t.Err, storage.ErrNoBucket):
		return failure(check, Environment, name+" does not exist", "run `kycq storage init`, or correct the bucket's name")
	case errors.Is(t.Err, storage.ErrDenied):
		return denied(check, t.Err)
	case errors.Is(t.Err, storage.ErrUnreachable):
		return unreachable(check, t.Err)
	case errors.Is(t.Err, storage.ErrNoConditions):
		return failure(check, Environment, name+": "+t.Err.Error(), "use a store that honours conditional writes, such as AWS S3 or MinIO")
	case t.Err != nil:
		return failure(check, Environment, name+": "+t.Err.Error(), "look at the store")
	case t.Public:
		return failure(check, Environment, name+" is open to everybody, without credentials",
			"remove the policy or ACL that opens it, and switch Block Public Access on")
	}
	return fine(check, name+": put, conditional put, get and delete work, and strangers are kept out")
}

func denied(check string, err error) Finding {
	return failure(check, Credentials, err.Error(), "correct the S3 credentials, or give them the permission")
}

func unreachable(check string, err error) Finding {
	return failure(check, Unreachable, err.Error(), "correct KYCQ_S3_ENDPOINT, or look at network and server")
}
