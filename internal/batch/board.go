package batch

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/storage"
)

// ProgressStore is what Redis knows of the progress of batches, and what workers tell of their rows. It is safe for concurrent
// use.
type ProgressStore struct {
	redis   redis.UniversalClient
	batches *Store

	mu    sync.Mutex
	known map[string]knownState
}

// knownState is what S3 said of a batch whose board is gone.
type knownState struct {
	cancelled bool
	at        time.Time
}

// NewProgressStore keeps the progress in redis; the batches speaks for batches of which Redis knows nothing.
func NewProgressStore(client redis.UniversalClient, batches *Store) *ProgressStore {
	return &ProgressStore{redis: client, batches: batches, known: map[string]knownState{}}
}

// Keys of a batch share its hash tag.
func progressKey(id string) string  { return "kycq:{" + id + "}:progress" }
func rowsKey(id string) string      { return "kycq:{" + id + "}:rows" }
func elsewhereKey(id string) string { return "kycq:{" + id + "}:elsewhere" }

// Fields of the progress hash. n1 to n9 count the rows by state.
const (
	fieldState  = "state"
	fieldPass   = "pass"
	fieldCursor = "cursor"
	fieldRows   = "rows"
	fieldCap    = "cap"
	fieldCalls  = "calls"
	fieldBlank  = "blank"  // rows in a row without a record, -1 where records need not be read
	fieldReason = "reason" // why nothing is fed at the moment, empty where something is
)

func countField(s RowState) string { return "n" + strconv.Itoa(int(s)) }

// Stopped tells whether a batch is cancelled. Where Redis does not know, batch.json is asked, at most every stateLife.
func (b *ProgressStore) Stopped(ctx context.Context, id string) (bool, error) {
	state, err := b.redis.HGet(ctx, progressKey(id), fieldState).Result()
	switch {
	case err == nil:
		return State(state) == Cancelled, nil
	case !errors.Is(err, redis.Nil):
		return false, fmt.Errorf("ask for the state of a batch: %w", err)
	}
	return b.stoppedInS3(ctx, id)
}

// stateLife bounds how late a cancelled batch is noticed without Redis; calls must stop within five seconds.
const stateLife = 2 * time.Second

func (b *ProgressStore) stoppedInS3(ctx context.Context, id string) (bool, error) {
	b.mu.Lock()
	k, ok := b.known[id]
	b.mu.Unlock()
	if ok && time.Since(k.at) < stateLife {
		return k.cancelled, nil
	}
	found, err := b.batches.Load(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		k = knownState{at: time.Now()} // not one of ours: a record may name any batch
	case err != nil:
		return false, err
	default:
		k = knownState{cancelled: found.State == Cancelled, at: time.Now()}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.known) > 100 {
		clear(b.known)
	}
	b.known[id] = k
	return k.cancelled, nil
}

// TakeCall counts a call that is about to be made, and tells whether the batch's cap allows it.
func (b *ProgressStore) TakeCall(ctx context.Context, id string) (bool, error) {
	may, err := callScript.Run(ctx, b.redis, []string{progressKey(id)}).Int()
	if err != nil {
		return false, fmt.Errorf("count a call of a batch: %w", err)
	}
	return may == 1, nil
}

// RowFinished marks the row of a record that is final.
func (b *ProgressStore) RowFinished(ctx context.Context, rec *storage.Record) error {
	return b.settle(ctx, rec.Batch, rowChange{row: rec.Row, to: ownState[rec.State]})
}

// AlreadyDone marks a row whose id had its final record from elsewhere: from another batch, or a single job.
func (b *ProgressStore) AlreadyDone(ctx context.Context, id string, row int, rec *storage.Record) error {
	return b.settle(ctx, id, rowChange{row: row, to: ownState[rec.State] + elsewhere})
}

// Conflicted marks a row whose id belongs to a job with another input.
func (b *ProgressStore) Conflicted(ctx context.Context, id string, row int) error {
	return b.settle(ctx, id, rowChange{row: row, to: RowConflict})
}

// rowChange sets the state of a row (from 1). was counts where the board knows no better than rowEarlier.
type rowChange struct {
	row     int
	to, was RowState
}

func (b *ProgressStore) settle(ctx context.Context, id string, changes ...rowChange) error {
	if len(changes) == 0 {
		return nil
	}
	args := make([]any, 0, 3*len(changes))
	for _, c := range changes {
		if c.row < 1 {
			return fmt.Errorf("mark a row of batch %s: rows count from 1", id)
		}
		args = append(args, c.row-1, int(c.to), int(c.was))
	}
	if err := settleScript.Run(ctx, b.redis, []string{progressKey(id), rowsKey(id)}, args...).Err(); err != nil {
		return fmt.Errorf("mark a row of a batch: %w", err)
	}
	return nil
}
