package installation

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/sleep"
)

const (
	// checkEvery is how often a worker looks for the name in Redis, lookEvery also for the file.
	checkEvery = 2 * time.Second
	lookEvery  = 15 * time.Second
	// useFor is how long after the file's last renewal a worker makes calls. The rest until adoptAfter is for calls that are
	// about to leave.
	useFor = adoptAfter - 30*time.Second

	startPatience = 3 * time.Second
	startPause    = 200 * time.Millisecond
)

// Config configures a Keeper.
type Config struct {
	Bucket  Bucket
	Redis   redis.UniversalClient
	Account Account
	// SetName writes the name into a Redis that has none; it must not replace another name.
	SetName func(ctx context.Context, name string) error
	Log     zerolog.Logger
}

// Keeper makes, verifies and renews the installation for a worker.
type Keeper struct {
	Config

	mu   sync.Mutex
	last Found // the last look, after what followed from it
}

// New returns a Keeper. It does not connect.
func New(cfg Config) *Keeper { return &Keeper{Config: cfg} }

// Look compares the buckets, the Redis and the account.
func (k *Keeper) Look(ctx context.Context) (Found, error) {
	return look(ctx, k.Bucket, k.Redis, k.Account)
}

// Start makes the installation if there is none, or verifies it. It returns the refusal if this worker must not run.
func (k *Keeper) Start(ctx context.Context) error {
	for began := time.Now(); ; {
		f, err := k.step(ctx)
		if err != nil {
			return err
		}
		// Another worker may be about to write the name. A server that tells its run_id needs no wait: see NameLost.
		if f.State != RedisChanged || f.server != "" || time.Since(began) > startPatience {
			return f.Refusal()
		}
		if err := sleep.For(ctx, startPause); err != nil {
			return err
		}
	}
}

// Run keeps the installation until ctx ends. It returns an error if this worker must stop, since the buckets, the Redis or
// the account are no longer its own.
func (k *Keeper) Run(ctx context.Context) error {
	told := "" // the last warning
	warn := func(text string, err error) {
		if text != told {
			k.Log.Warn().Err(err).Msg(text)
		}
		told = text
	}
	for sleep.For(ctx, checkEvery) == nil {
		if k.isCurrent(ctx) {
			continue
		}
		f, err := k.step(ctx)
		refusal := f.Refusal()
		switch {
		case ctx.Err() != nil:
		case err != nil:
			warn("cannot verify the installation: no calls are made if this lasts for two minutes", err)
		case f.State == RedisChanged:
			warn("Redis was replaced or has lost its data: no calls are made until a worker adopts it, three minutes after the loss", nil)
		case refusal != nil:
			return refusal
		default:
			told = ""
		}
	}
	return nil
}

// Name returns the name that the Redis must carry for a call to be made, "" while none may be made.
func (k *Keeper) Name() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.last.State != Verified || sleep.Elapsed(k.last.at)+k.last.Age > useFor {
		return ""
	}
	return k.last.File.Redis
}

// isCurrent reports whether the last look is recent and Redis still carries the name.
func (k *Keeper) isCurrent(ctx context.Context) bool {
	k.mu.Lock()
	last := k.last
	k.mu.Unlock()
	if last.State != Verified || sleep.Elapsed(last.at) > lookEvery {
		return false
	}
	name, err := redisx.Name(ctx, k.Redis)
	return err == nil && name == last.File.Redis
}

// maxSteps bounds the looks of one step: each but the last follows a write, of this worker or of another.
const maxSteps = 5

// step looks, and makes, restores, adopts or renews what may be.
func (k *Keeper) step(ctx context.Context) (f Found, err error) {
	for range maxSteps {
		if f, err = k.Look(ctx); err != nil {
			return f, err
		}
		again := true
		switch {
		case f.State == NameLost:
			err = k.restore(ctx, f.File.Redis)
		case f.State == None, f.State == RedisChanged && !f.inUse():
			err = k.adopt(ctx, f)
		case f.State == Verified && (f.Age >= renewAfter || f.server != "" && f.server != f.File.Server):
			f, err = k.renew(ctx, f)
			again = false
		default:
			again = false
		}
		if errors.Is(err, objects.ErrExists) || errors.Is(err, objects.ErrConflict) {
			err, again = nil, true // another worker was first
		}
		if err != nil {
			return f, err
		}
		if !again {
			k.mu.Lock()
			k.last = f
			k.mu.Unlock()
			return f, nil
		}
	}
	return f, errors.New("the installation keeps changing: do several fleets start on the same buckets or Redis?")
}

func (k *Keeper) restore(ctx context.Context, name string) error {
	if err := k.SetName(ctx, name); err != nil {
		return err
	}
	k.Log.Warn().Msg("Redis did not carry the name of the installation: restored")
	return nil
}

func (k *Keeper) renew(ctx context.Context, f Found) (Found, error) {
	next := *f.File
	next.Server = f.server
	if err := write(ctx, k.Bucket, next, f); err != nil {
		return f, err
	}
	f.File, f.Age = &next, 0
	return f, nil
}

// SetQRCheck writes the setting of this worker into the file, after audit, if the worker that started last had another.
func (k *Keeper) SetQRCheck(ctx context.Context, value string, audit func(before, now string) error) error {
	audited := ""
	for range maxSteps {
		file, object, err := Read(ctx, k.Bucket)
		if err != nil || file == nil {
			return err
		}
		before := cmp.Or(file.QRCheck, "visible")
		if before == value {
			return nil
		}
		if before != audited {
			if err := audit(before, value); err != nil {
				return err
			}
			audited = before
		}
		file.QRCheck = value
		if err := write(ctx, k.Bucket, *file, Found{File: file, etag: object.ETag}); !errors.Is(err, objects.ErrConflict) {
			return err
		}
	}
	return errors.New("the installation keeps changing")
}

// adopt makes this Redis the one that drives the buckets, under a new name: the earlier Redis may come back with the old one.
func (k *Keeper) adopt(ctx context.Context, f Found) error {
	next := f.next()
	if err := write(ctx, k.Bucket, next, f); err != nil {
		return err
	}
	k.Log.Info().Bool("first", f.File == nil).Msg("this Redis drives the buckets from now on")
	return k.SetName(ctx, next.Redis)
}

// next is the file that makes the Redis looked at the one that drives the buckets.
func (f Found) next() File {
	next := File{Version: version, CreatedAt: time.Now().UTC().Truncate(time.Second)}
	if f.File != nil {
		next.CreatedAt, next.QRCheck = f.File.CreatedAt, f.File.QRCheck
	}
	next.VendorHost, next.Account, next.Redis, next.Server = f.want.Host, f.want.Hash, rand.Text(), f.server
	return next
}

// write replaces the file that was found, or creates it.
func write(ctx context.Context, bucket Bucket, next File, was Found) error {
	next.Seen = time.Now().UTC().Truncate(time.Millisecond)
	body, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", Key, err)
	}
	if was.File == nil {
		_, err = bucket.Create(ctx, Key, body)
	} else {
		_, err = bucket.Swap(ctx, Key, body, was.etag)
	}
	return err
}
