package batch

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// ProgressStore keeps the progress of batches in Redis. The keys of a batch share a hash tag:
//
//	kycq:{<id>}:progress    hash: state, cursor, counters
//	kycq:{<id>}:rows        string: four bits for each row, a RowState
//	kycq:{<id>}:elsewhere   set of row/run: rows whose task belongs to another batch or a single job
//	kycq:{<id>}:reviews     bitmap of the rows whose image a person should look at
//	kycq:{<id>}:checked     exists for a while after a check of the open rows
//	kycq:{<kind>}:feeding   sorted set of the batches of a kind that are being fed, by time
//
// It is safe for concurrent use.
type ProgressStore struct {
	redis     redis.UniversalClient
	batches   *Store
	cancelled *cache[string, bool] // for batches without progress
}

// NewProgressStore keeps progress in redis. The state of a batch without progress is read from batches.
func NewProgressStore(client redis.UniversalClient, batches *Store) *ProgressStore {
	return &ProgressStore{redis: client, batches: batches, cancelled: &cache[string, bool]{life: stateLife}}
}

func progressKey(id string) string      { return "kycq:{" + id + "}:progress" }
func rowsKey(id string) string          { return "kycq:{" + id + "}:rows" }
func foreignKey(id string) string       { return "kycq:{" + id + "}:elsewhere" }
func reviewsKey(id string) string       { return "kycq:{" + id + "}:reviews" }
func checkedKey(id string) string       { return "kycq:{" + id + "}:checked" }
func feedingKey(kind tasks.Kind) string { return "kycq:{" + string(kind) + "}:feeding" }
func batchKeys(id string) []string {
	return []string{progressKey(id), rowsKey(id), foreignKey(id), reviewsKey(id)}
}

// The fields of the progress hash. n1 to n9 count the rows by state.
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
	fieldReason  = "reason"
	fieldSeen    = "seen"
	fieldSeenAt  = "seen_at"
)

func countField(s RowState) string { return "n" + strconv.Itoa(int(s)) }

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

// Stopped reports whether a batch is cancelled. If Redis has no progress of the batch, batch.json is read, at most every
// stateLife.
func (s *ProgressStore) Stopped(ctx context.Context, id string) (bool, error) {
	state, err := s.redis.HGet(ctx, progressKey(id), fieldState).Result()
	switch {
	case err == nil:
		return State(state) == Cancelled, nil
	case !errors.Is(err, redis.Nil):
		return false, progressError(id, err)
	}
	return s.cancelled.get(id, func() (bool, error) {
		b, err := s.batches.Load(ctx, id)
		if errors.Is(err, ErrNotFound) { // a record may name any batch
			return false, nil
		}
		return err == nil && b.State == Cancelled, err
	})
}

// stateLife bounds how late a cancel is noticed without progress in Redis; calls must stop within five seconds.
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

// RowFinished sets the state of a row of this batch whose record is final.
func (s *ProgressStore) RowFinished(ctx context.Context, rec *storage.Record) error {
	return s.setRows(ctx, rec.Batch, rowChange{row: rec.Row, to: ownState[rec.State], review: rec.NeedsReview()})
}

// AlreadyDone sets the state of a row whose final record belongs to another batch or a single job.
func (s *ProgressStore) AlreadyDone(ctx context.Context, id string, row int, rec *storage.Record) error {
	return s.setRows(ctx, id, rowChange{row: row, to: ownState[rec.State] + doneOffset, review: rec.NeedsReview()})
}

// Conflicted sets the state of a row whose verification_id belongs to a job with another input.
func (s *ProgressStore) Conflicted(ctx context.Context, id string, row int) error {
	return s.setRows(ctx, id, rowChange{row: row, to: RowConflict})
}

// rowChange sets the state of a row (from 1), and whether a person should look at its image. was and reviewed are what it
// was before, if the stored state is rowEarlier.
type rowChange struct {
	row              int
	to, was          RowState
	review, reviewed bool
}

func (s *ProgressStore) setRows(ctx context.Context, id string, changes ...rowChange) error {
	if len(changes) == 0 {
		return nil
	}
	args := make([]any, 0, 5*len(changes))
	for _, c := range changes {
		if c.row < 1 {
			return fmt.Errorf("progress of batch %s: there is no row %d", id, c.row)
		}
		args = append(args, c.row-1, int(c.to), int(c.was), c.review, c.reviewed)
	}
	_, err := s.eval(ctx, setRowsScript, id, args...)
	return err
}

// states reads the states of the rows first to last (included), counting from 1.
func (s *ProgressStore) states(ctx context.Context, id string, first, last int) ([]RowState, error) {
	offset := (first - 1) / 2
	text, err := s.redis.GetRange(ctx, rowsKey(id), int64(offset), int64((last-1)/2)).Result()
	if err != nil {
		return nil, progressError(id, err)
	}
	states := make([]RowState, last-first+1)
	for i := range states {
		row := first - 1 + i
		if at := row/2 - offset; at < len(text) {
			states[i] = RowState(text[at]>>(4*(row%2))) & 15
		}
	}
	return states, nil
}

// Progress is how far a batch has come.
type Progress struct {
	State    State
	Run      int // number of the run over the rows
	Cursor   int // rows of the run whose tasks are in Redis
	Fed      int // rows of the run whose tasks may be in Redis; set before they are enqueued
	Rows     int
	Calls    int
	MaxCalls int
	// Reviews counts the ended rows whose image a person should look at.
	Reviews int
	// Counts is the number of rows in each state but RowOpen.
	Counts [rowStates]int
	// Reason is why no rows are being fed; empty if rows are being fed.
	Reason string

	// missingStreak counts the last consecutive rows without a record; -1 if records need not be read.
	missingStreak int
	// seen is the number of ended rows at seenAt, in Unix milliseconds.
	seen, seenAt int
}

// rebuilding reports whether the progress was lost and is being restored from the records.
func (p *Progress) rebuilding() bool { return p.missingStreak >= 0 }

// limitReached reports whether the batch has made MaxCalls calls.
func (p *Progress) limitReached() bool { return p.MaxCalls > 0 && p.Calls >= p.MaxCalls }

// Ended counts the rows that are not open.
func (p *Progress) Ended() int {
	n := 0
	for _, c := range p.Counts {
		n += c
	}
	return n
}

// fed counts the rows of the run that may have been enqueued. It exceeds the cursor if a feeder died while it enqueued.
func (p *Progress) fed() int { return max(p.Cursor, p.Fed) }

// outstanding counts the rows that were fed and are open. While lost progress is restored, rows that end beyond those fed
// make it too small.
func (p *Progress) outstanding(kind RunKind) int { return p.openUpTo(kind, p.fed()) }

// openUpTo counts the open rows among the first fed ones of the run.
func (p *Progress) openUpTo(kind RunKind, fed int) int {
	if kind == SomeRows {
		fed = p.Rows // an earlier run fed all; those of the list are opened as they are fed
	}
	return max(0, fed-p.Ended())
}

// Read returns the progress of a batch, nil if Redis has none.
func (s *ProgressStore) Read(ctx context.Context, id string) (*Progress, error) {
	pipe := s.redis.Pipeline()
	hash, reviews := pipe.HGetAll(ctx, progressKey(id)), pipe.BitCount(ctx, reviewsKey(id), nil)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, progressError(id, err)
	}
	fields := hash.Val()
	if fields[fieldRun] == "" {
		return nil, nil
	}
	number := func(field string) int {
		n, _ := strconv.Atoi(fields[field])
		return n
	}
	p := &Progress{
		State: State(fields[fieldState]), Reason: fields[fieldReason],
		Run: number(fieldRun), Cursor: number(fieldCursor), Fed: number(fieldFed), Rows: number(fieldRows),
		Calls: number(fieldCalls), MaxCalls: number(fieldLimit), missingStreak: number(fieldMissing),
		Reviews: number(fieldReviews) + int(reviews.Val()), seen: number(fieldSeen), seenAt: number(fieldSeenAt),
	}
	for s := RowValid; int(s) < rowStates; s++ {
		p.Counts[s] = number(countField(s))
	}
	return p, nil
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

// addForeign adds rows whose task belongs to another batch or a single job. They stay until the record of their
// verification_id is final.
func (s *ProgressStore) addForeign(ctx context.Context, id string, rows []*Row) error {
	return changeForeign(ctx, s.redis.SAdd, id, rows)
}

// dropForeign removes rows that addForeign added.
func (s *ProgressStore) dropForeign(ctx context.Context, id string, rows []*Row) error {
	return changeForeign(ctx, s.redis.SRem, id, rows)
}

func changeForeign(
	ctx context.Context, change func(ctx context.Context, key string, members ...any) *redis.IntCmd, id string, rows []*Row,
) error {
	if len(rows) == 0 {
		return nil
	}
	members := make([]any, len(rows))
	for i, r := range rows {
		members[i] = fmt.Sprintf("%d/%d", r.Item.Row, r.run)
	}
	return progressError(id, change(ctx, foreignKey(id), members...).Err())
}

// foreign returns at most limit rows that addForeign added, at random.
func (s *ProgressStore) foreign(ctx context.Context, id string, limit int) ([]Rerun, error) {
	members, err := s.redis.SRandMemberN(ctx, foreignKey(id), int64(limit)).Result()
	if err != nil {
		return nil, progressError(id, err)
	}
	rows := make([]Rerun, 0, len(members))
	for _, m := range members {
		var r Rerun
		if _, err := fmt.Sscanf(m, "%d/%d", &r.Row, &r.Run); err == nil && r.Row > 0 && r.Run > 0 {
			rows = append(rows, r)
		}
	}
	return rows, nil
}
