package installation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kycq/kycq/internal/redisx"
)

// CanAdopt returns nil if an operator may make the Redis looked at, and another client id if accountChanged, those of the
// installation.
func (f Found) CanAdopt(accountChanged bool) error {
	switch {
	case f.State == None:
		return errors.New("there is no installation in these buckets yet: the first worker makes it")
	case f.State == Verified:
		return errors.New("buckets, Redis and account belong together already: nothing to adopt")
	case f.State == OtherHost, f.State == OtherAccount && !accountChanged:
		return f.Refusal()
	case f.inUse() && f.name != f.File.Redis:
		return &redisx.OtherError{
			Message: fmt.Sprintf("another Redis drives these buckets, last seen %s ago", f.Age.Round(time.Second)),
			Fix:     fmt.Sprintf("stop the workers that use it, and run this again in %s", f.adoptIn()),
		}
	}
	return nil
}

// Adopt does what CanAdopt allows.
func (k *Keeper) Adopt(ctx context.Context, f Found) error {
	if err := k.Redis.Del(ctx, redisx.NameKey).Err(); err != nil {
		return fmt.Errorf("remove the name of the other installation: %w", err)
	}
	return k.adopt(ctx, f)
}
