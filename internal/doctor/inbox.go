package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// The inbox may hold a million images: the first ones of the listing suffice.
const (
	inboxSample = 10_000
	inboxAge    = 24 * time.Hour
)

// checkInbox warns of unmasked images that stay: kycq deletes those that it uploaded when their jobs are valid or invalid.
func checkInbox(ctx context.Context, t Target) []Finding {
	const check = "inbox"
	if t.Inbox == nil {
		return nil
	}
	listed, old := 0, 0
	var oldest time.Duration
	for o, err := range t.Inbox(ctx) {
		if err != nil {
			return []Finding{skipped(check, "cannot be listed: see s3-inbox")}
		}
		if listed++; listed > inboxSample {
			break
		}
		if o.Age > inboxAge && !strings.HasPrefix(o.Key, "quarantine/") {
			old, oldest = old+1, max(oldest, o.Age)
		}
	}
	if old == 0 {
		return []Finding{fine(check, "no unmasked image is older than a day")}
	}
	const day = 24 * time.Hour
	of := ""
	if listed > inboxSample {
		of = fmt.Sprintf(" of the first %d", inboxSample)
	}
	return []Finding{warning(check, fmt.Sprintf("%d unmasked images%s are older than a day, the oldest %d days", old, of, oldest/day),
		"they belong to jobs that are open, failed or cancelled: finish, correct (`kycq batch failures`) or erase those; the lifecycle rule deletes the rest")}
}
