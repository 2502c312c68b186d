package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kycq/kycq/internal/installation"
	"github.com/kycq/kycq/internal/redisx"
)

func checkInstallation(ctx context.Context, t Target) []Finding {
	const check = "installation"
	if t.Installation == nil {
		return []Finding{skipped(check, "needs Redis, S3, a keyset and the settings of Cashfree")}
	}
	f, err := t.Installation(ctx)
	switch {
	case errors.Is(err, installation.ErrUnreadable):
		return []Finding{failure(check, Environment, "the records bucket has an unreadable "+installation.Key, "use the newest kycq that was used with these buckets")}
	case err != nil: // reported by the checks of Redis and S3
		return []Finding{skipped(check, "needs Redis and S3")}
	}
	return []Finding{readInstallation(check, f)}
}

func readInstallation(check string, f installation.Found) Finding {
	age := f.Age.Round(time.Second)
	var other *redisx.OtherError
	if errors.As(f.Refusal(), &other) {
		return failure(check, Settings, other.Message, other.Fix)
	}
	switch f.State {
	case installation.None:
		return fine(check, "none yet: the first worker makes it")
	case installation.NameLost:
		return warning(check, "this Redis has lost its data", "keep a worker running: it restores the name, and enqueues what is open")
	case installation.RedisChanged:
		return warning(check, fmt.Sprintf("this Redis is new or has lost its data; the one before was last seen %s ago", age),
			"if KYCQ_REDIS_URL is right, start a worker: it adopts this Redis, and enqueues what is open")
	case installation.Verified, installation.OtherRedis, installation.OtherHost, installation.OtherAccount:
	}
	return fine(check, fmt.Sprintf("buckets, Redis and account belong together (%s); a worker was last seen %s ago", f.File.VendorHost, age))
}
