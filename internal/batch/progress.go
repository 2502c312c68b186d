package batch

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/tasks"
)

// ProgressStore keeps the progress of batches in Redis. The keys of a batch share a hash tag:
//
//	kycq:{<id>}:progress    hash: state, cursor, counters
//	kycq:{<id>}:rows        string: four bits for each row, a RowState
//	kycq:{<id>}:elsewhere   set of row/run: rows whose task belongs to another batch or a single job
//	kycq:{<id>}:reviews     bitmap of the rows whose image a person should look at
//	kycq:{<id>}:codes       string: a byte for each row, the number of the code with which it ended, 0 if it has none
//	kycq:{<id>}:checked     exists for a while after a check of the open rows
//	kycq:{<kind>}:feeding   sorted set of the batches of a kind that are being fed, by time
//
// It is safe for concurrent use.
type ProgressStore struct {
	redis   redis.UniversalClient
	batches *Store
	stored  *cache[string, State] // states of batches without progress
	parts   *cache[listPart, []Rerun]
}

// NewProgressStore keeps progress in redis. The state of a batch without progress is read from batches.
func NewProgressStore(client redis.UniversalClient, batches *Store) *ProgressStore {
	return &ProgressStore{redis: client, batches: batches, stored: &cache[string, State]{life: stateLife}, parts: &cache[listPart, []Rerun]{life: listLife}}
}

func progressKey(id string) string      { return "kycq:{" + id + "}:progress" }
func rowsKey(id string) string          { return "kycq:{" + id + "}:rows" }
func foreignKey(id string) string       { return "kycq:{" + id + "}:elsewhere" }
func reviewsKey(id string) string       { return "kycq:{" + id + "}:reviews" }
func codesKey(id string) string         { return "kycq:{" + id + "}:codes" }
func checkedKey(id string) string       { return "kycq:{" + id + "}:checked" }
func feedingKey(kind tasks.Kind) string { return "kycq:{" + string(kind) + "}:feeding" }
func batchKeys(id string) []string {
	return []string{progressKey(id), rowsKey(id), foreignKey(id), reviewsKey(id), codesKey(id)}
}

// The fields of the progress hash. n1 to n9 count the rows by state. "i:" and a code is the number of the code, k and its
// number counts the rows that ended with it, codes counts the codes. e0 to e11 count the rows that ended lately: see perMinute.
const (
	fieldState   = "state"
	fieldRun     = "pass"
	fieldCursor  = "cursor"
	fieldFed     = "fed"
	fieldRows    = "rows"
	fieldLimit   = "cap"
	fieldCalls   = "calls"
	fieldMissing = "blank"
	fieldReviews = "reviews" // of rows whose state is rowEarlier
	fieldCodes   = "codes"
	fieldReason  = "reason"
	fieldSeen    = "seen"
	fieldSeenAt  = "seen_at"
)

const (
	codePrefix = "i:"
	// maxCodes is how many codes have numbers of their own; the further ones share that of otherCodes. lua/set_rows.lua has both
	// values, too. A number is a byte, and earlier versions of kycq counted Cashfree's codes whatever they were.
	maxCodes   = 200
	otherCodes = advice.Unlisted
)

func countField(s RowState) string { return "n" + strconv.Itoa(int(s)) }
func codeField(number int) string  { return "k" + strconv.Itoa(number) }

// The scripts use only commands of Redis 6.2 that miniredis has too; so a row's half byte is changed by GETRANGE and
// SETRANGE, not by BITFIELD.
var (
	//go:embed lua
	sources embed.FS

	createScript  = script("create")
	setScript     = script("set")
	setRowsScript = script("set_rows")
	advanceScript = script("advance")
	intendScript  = script("intend")
	nextRunScript = script("next_run")
	callScript    = script("take_call")
)

func script(name string) *redis.Script {
	source, err := sources.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // a name that is not in this folder
	}
	return redis.NewScript(string(source))
}

// eval runs a script on the keys of a batch.
func (s *ProgressStore) eval(ctx context.Context, script *redis.Script, id string, args ...any) (int, error) {
	n, err := script.Run(ctx, s.redis, batchKeys(id), args...).Int()
	if err != nil {
		return 0, progressError(id, err)
	}
	return n, nil
}

func progressError(id string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("progress of batch %s: %w", id, err)
}

// set sets fields of the progress hash, if there is one.
func (s *ProgressStore) set(ctx context.Context, id string, fieldsAndValues ...any) error {
	_, err := s.eval(ctx, setScript, id, fieldsAndValues...)
	return err
}

// Stopped reports whether a batch is cancelled or paused. If Redis has no progress of the batch, batch.json is read, at most
// every stateLife.
func (s *ProgressStore) Stopped(ctx context.Context, id string) (cancelled, paused bool, err error) {
	text, err := s.redis.HGet(ctx, progressKey(id), fieldState).Result()
	state := State(text)
	if errors.Is(err, redis.Nil) {
		state, err = s.stored.get(id, func() (State, error) {
			b, err := s.batches.Load(ctx, id)
			if errors.Is(err, ErrNotFound) { // a record may name any batch
				return "", nil
			}
			if err != nil {
				return "", err
			}
			return b.State, nil
		})
	} else {
		err = progressError(id, err)
	}
	return state == Cancelled, state == Paused, err
}

// stateLife bounds how late a cancel or a pause is noticed without progress in Redis; calls must stop within five seconds.
const stateLife = 2 * time.Second

// TakeCall counts a call that is about to be made. It returns false if the batch has reached its call limit.
func (s *ProgressStore) TakeCall(ctx context.Context, id string) (bool, error) {
	n, err := s.eval(ctx, callScript, id, 1)
	return n == 1, err
}

// ReturnCall takes back the count of a call that was not made.
func (s *ProgressStore) ReturnCall(ctx context.Context, id string) error {
	_, err := s.eval(ctx, callScript, id, -1)
	return err
}

// create creates the progress of a batch unless it exists. If neverFed, records are not read before rows are fed. was is the
// summary of an earlier end, nil if there is none.
func (s *ProgressStore) create(ctx context.Context, b *Batch, neverFed bool, was *Summary) error {
	rows := make([]byte, (b.Rows+1)/2)
	fields := map[string]int{fieldRun: 1, fieldCursor: 0, fieldRows: b.Rows, fieldLimit: b.MaxCalls, fieldCalls: 0}
	if neverFed {
		fields[fieldMissing] = -1
	}
	if was != nil && was.Plan == b.Plan && was.Runs >= 1 && was.Runs <= len(b.Runs) {
		for i := range rows {
			rows[i] = byte(rowEarlier<<4 | rowEarlier)
		}
		fields[fieldRun], fields[fieldCursor], fields[fieldCalls] = was.Runs, b.run(was.Runs).Rows, was.Calls
		fields[fieldReviews] = was.Reviews
		for state, n := range was.progress().Counts {
			fields[countField(RowState(state))] = n
		}
		for code, n := range was.Codes {
			if fields[fieldCodes] >= maxCodes {
				code = otherCodes
			}
			if fields[codePrefix+code] == 0 {
				fields[fieldCodes]++
				fields[codePrefix+code] = fields[fieldCodes]
			}
			fields[codeField(fields[codePrefix+code])] += n
		}
	}
	args := []any{string(rows), fieldState, string(b.State)}
	for name, n := range fields {
		args = append(args, name, n)
	}
	_, err := s.eval(ctx, createScript, b.ID, args...)
	return err
}

// Sync copies state and call limit from batch.json, for the workers. Progress that was about to expire no longer does.
func (s *ProgressStore) Sync(ctx context.Context, b *Batch) error {
	for _, key := range batchKeys(b.ID) {
		if err := s.redis.Persist(ctx, key).Err(); err != nil {
			return progressError(b.ID, err)
		}
	}
	return s.set(ctx, b.ID, fieldState, string(b.State), fieldLimit, b.MaxCalls)
}

// intend records that the rows up to to are about to be enqueued. It returns false if another feeder has moved the cursor.
func (s *ProgressStore) intend(ctx context.Context, id string, p *Progress, to int) (bool, error) {
	n, err := s.eval(ctx, intendScript, id, p.Run, p.Cursor, to)
	return n == 1, err
}

// advance moves the cursor from p.Cursor, unless another feeder did. While lost progress is restored, calls is the number
// of calls found in records, and streak replaces p.missingStreak.
func (s *ProgressStore) advance(ctx context.Context, id string, p *Progress, to, calls, streak int) error {
	args := []any{p.Run, p.Cursor, to, calls}
	if p.rebuilding() {
		args = append(args, streak)
	}
	_, err := s.eval(ctx, advanceScript, id, args...)
	return err
}

// nextRun starts the run after p.Run.
func (s *ProgressStore) nextRun(ctx context.Context, id string, p *Progress, kind RunKind) error {
	openAll := 1
	if kind == SomeRows {
		openAll = 0
	}
	_, err := s.eval(ctx, nextRunScript, id, p.Run, p.Run+1, openAll, rowStates-1)
	return err
}

func (s *ProgressStore) setReason(ctx context.Context, id string, p *Progress, reason string) error {
	if p.Reason == reason {
		return nil
	}
	p.Reason = reason
	return s.set(ctx, id, fieldReason, reason)
}

// idleFor returns for how long no row has ended.
func (s *ProgressStore) idleFor(ctx context.Context, id string, p *Progress) (time.Duration, error) {
	idle := time.Since(time.UnixMilli(int64(p.seenAt)))
	if p.seenAt == 0 || p.seen != p.Ended() || idle < 0 { // below 0: the clock that noted it was wrong
		return 0, s.noteEnded(ctx, id, p.Ended())
	}
	return idle, nil
}

func (s *ProgressStore) noteEnded(ctx context.Context, id string, ended int) error {
	return s.set(ctx, id, fieldSeen, ended, fieldSeenAt, time.Now().UnixMilli())
}

// checkEvery is how often the tasks of a batch's open rows are looked for.
const checkEvery = 3 * time.Minute

// beginCheck reports whether a check of the open rows is due, and counts it as begun.
func (s *ProgressStore) beginCheck(ctx context.Context, id string) (due bool, err error) {
	due, err = s.redis.SetNX(ctx, checkedKey(id), 1, checkEvery).Result()
	return due, progressError(id, err)
}

// dropCheck makes a check due at once.
func (s *ProgressStore) dropCheck(ctx context.Context, id string) error {
	return progressError(id, s.redis.Del(ctx, checkedKey(id)).Err())
}

// progressLife is how long the progress of a finished batch is kept, for watchers that have not seen the end yet.
const progressLife = 10 * time.Minute

// expire lets the progress of a finished batch expire; summary.json replaces it.
func (s *ProgressStore) expire(ctx context.Context, b *Batch) error {
	err := s.redis.ZRem(ctx, feedingKey(b.Kind), b.ID).Err()
	for _, key := range batchKeys(b.ID) {
		err = errors.Join(err, s.redis.Expire(ctx, key, progressLife).Err())
	}
	return progressError(b.ID, err)
}
