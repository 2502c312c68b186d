package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/tasks"
)

func checkKeyset(ctx context.Context, t Target) []Finding {
	const check = "keyset"
	switch {
	case t.KeysetErr != nil:
		what, todo, ok := strings.Cut(t.KeysetErr.Error(), ": run ")
		if !ok {
			todo = "`kycq keys generate`, or correct KYCQ_KEYSET_FILE"
		}
		return []Finding{failure(check, Settings, what, "run "+todo)}
	case t.Keyset == nil:
		return []Finding{skipped(check, "fix the settings first")}
	case !t.Keyset.Sealing():
		return []Finding{warning(check, "none: personal data is stored unencrypted in Redis and S3", "for real data: kycq keys generate, and KYCQ_KEYSET_FILE")}
	}
	return []Finding{fine(check, fmt.Sprintf("valid; keys: %d", len(t.Keyset.Info()))), checkQueued(ctx, t)}
}

// checkQueued decrypts some queued jobs, to detect producers with another keyset.
func checkQueued(ctx context.Context, t Target) Finding {
	const check = "keyset-queues"
	if t.Redis == nil {
		return skipped(check, "fix Redis first")
	}
	queued, err := t.Redis.Queued(ctx)
	if err != nil {
		return skipped(check, "the queues cannot be read")
	}
	missing, broken := 0, 0
	for _, job := range queued {
		_, err := t.Keyset.Open(job.SealedInput, tasks.InputBinding(job.Kind, job.VerificationID))
		switch {
		case errors.Is(err, seal.ErrKeyMissing):
			missing++
		case err != nil:
			broken++
		}
	}
	switch {
	case missing > 0:
		return failure(check, Settings, fmt.Sprintf("%d of %d queued jobs checked are encrypted with a key that the keyset lacks", missing, len(queued)),
			"deploy the keyset of the producers; `kycq keys status` lists the key ids")
	case broken > 0:
		return failure(check, Environment, fmt.Sprintf("%d of %d queued jobs checked cannot be decrypted: they were modified", broken, len(queued)),
			"find out who writes to this Redis; submit those jobs again")
	case len(queued) == 0:
		return fine(check, "the queues are empty")
	}
	return fine(check, fmt.Sprintf("all queued jobs checked can be decrypted: %d", len(queued)))
}
