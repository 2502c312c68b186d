package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/tasks"
)

func checkKeyset(ctx context.Context, p Patient) []Finding {
	const check = "keyset"
	switch {
	case p.KeysetErr != nil:
		what, todo, ok := strings.Cut(p.KeysetErr.Error(), ": run ")
		if !ok {
			todo = "`kycq keys generate`, or correct KYCQ_KEYSET_FILE"
		}
		return []Finding{failure(check, Settings, what, "run "+todo)}
	case p.Keyset == nil:
		return []Finding{skipped(check, "the settings come first")}
	case !p.Keyset.Sealing():
		return []Finding{warning(check, "there is none: personal data is readable in Redis and S3", "for real data: kycq keys generate, and KYCQ_KEYSET_FILE")}
	}
	return []Finding{fine(check, fmt.Sprintf("readable; sealing keys: %d", len(p.Keyset.Info()))), checkQueued(ctx, p)}
}

// checkQueued opens what lies in the queues: a producer with another keyset shows here, before a worker meets its jobs.
func checkQueued(ctx context.Context, p Patient) Finding {
	const check = "keyset-queues"
	if p.Redis == nil {
		return skipped(check, "Redis comes first")
	}
	queued, err := p.Redis.Queued(ctx)
	if err != nil {
		return skipped(check, "the queues cannot be read")
	}
	missing, broken := 0, 0
	for _, job := range queued {
		_, err := p.Keyset.Open(job.SealedInput, tasks.InputBinding(job.Kind, job.VerificationID))
		switch {
		case errors.Is(err, seal.ErrKeyMissing):
			missing++
		case err != nil:
			broken++
		}
	}
	switch {
	case missing > 0:
		return failure(check, Settings, fmt.Sprintf("%d of %d jobs that were looked at are sealed with a key that the keyset lacks", missing, len(queued)),
			"give this machine the keyset of the producers: `kycq keys status` tells the ids")
	case broken > 0:
		return failure(check, Environment, fmt.Sprintf("%d of %d jobs that were looked at cannot be opened: they were changed", broken, len(queued)),
			"find out who writes to this Redis; submit those jobs again")
	case len(queued) == 0:
		return fine(check, "the queues are empty")
	}
	return fine(check, fmt.Sprintf("opens the %d jobs that were looked at", len(queued)))
}
