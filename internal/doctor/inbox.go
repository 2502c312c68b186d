package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/storage"
)

// The inbox may hold a million images: the first ones of the listing suffice.
const (
	inboxSample = 10_000
	inboxAge    = day
	// renewalAge is from when on workers renew images that are needed: half of the life in the inbox.
	renewalAge = 15 * day
	day        = 24 * time.Hour
)

// checkInbox warns of unmasked images that stay: kycq deletes those that it uploaded when their jobs are valid or invalid. It
// also warns if images are old enough to be renewed, and none were.
func checkInbox(ctx context.Context, t Target) []Finding {
	const check = "inbox"
	if t.Inbox == nil {
		return nil
	}
	listed, old, renewable := 0, 0, false
	var oldest time.Duration
	for o, err := range t.Inbox(ctx) {
		if err != nil {
			return []Finding{skipped(check, "cannot be listed: see s3-inbox")}
		}
		if listed++; listed > inboxSample {
			renewable = true // quarantine may follow
			break
		}
		renewable = renewable || o.Age > renewalAge
		if o.Age > inboxAge && !strings.HasPrefix(o.Key, "quarantine/") {
			old, oldest = old+1, max(oldest, o.Age)
		}
	}
	var late []Finding
	if renewable {
		late = checkRenewal(ctx, t.Redis)
	}
	if old == 0 {
		return append(late, fine(check, "no unmasked image is older than a day"))
	}
	of := ""
	if listed > inboxSample {
		of = fmt.Sprintf(" of the first %d", inboxSample)
	}
	return append(late, warning(check, fmt.Sprintf("%d unmasked images%s are older than a day, the oldest %d days", old, of, oldest/day),
		"they belong to jobs that are open, failed or cancelled: finish, correct (`kycq batch failures`) or erase those; the lifecycle rule deletes the rest"))
}

func checkRenewal(ctx context.Context, r Redis) []Finding {
	if r == nil {
		return nil
	}
	if recent, err := r.Renewed(ctx); err != nil || recent {
		return nil // without Redis, other checks fail
	}
	return []Finding{warning("inbox-renewal", fmt.Sprintf("no worker has completed the daily renewal of images in the last %d days: the lifecycle rule "+
		"deletes images 30 days after their last one, also those in review or under a legal hold", redisx.RenewalLate/day),
		"start a worker, and read its log for \"the daily work is incomplete\"")}
}

// checkSubscribers warns of a damaged webhooks.json, until which events wait.
func checkSubscribers(ctx context.Context, t Target) []Finding {
	if t.Subscribers == nil {
		return nil
	}
	if _, err := t.Subscribers(ctx); errors.Is(err, storage.ErrDamagedSubscribers) {
		return []Finding{warning("webhooks", err.Error(), "start `kycq serve`, which writes it again within a minute, and find out what has changed it")}
	}
	return nil // other errors are those of the store
}
