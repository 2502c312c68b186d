package batch

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kycq/kycq/tasks"
)

// Progress is how far a batch has come.
type Progress struct {
	State  State
	Pass   int
	Cursor int // rows of the pass that were fed
	Rows   int
	Calls  int
	Cap    int
	// Counts is how many rows stand in each state but RowOpen.
	Counts [rowStates]int
	// Reason says why nothing is fed at the moment.
	Reason string

	blank int
}

// Ended counts the rows that are not open.
func (p *Progress) Ended() int {
	n := 0
	for _, c := range p.Counts {
		n += c
	}
	return n
}

// capped tells whether the batch has made all calls that it may.
func (p *Progress) capped() bool { return p.Cap > 0 && p.Calls >= p.Cap }

// outstanding counts the rows that were fed and are open. Rows that end beyond the cursor, while a lost board is rebuilt,
// make it too small for a while.
func (p *Progress) outstanding(kind RunKind) int {
	fed := p.Cursor
	if kind == SomeRows {
		fed = p.Rows // all were fed by an earlier pass; those of the list are opened as they are fed
	}
	return max(0, fed-p.Ended())
}

// Progress reads the board of a batch; nil where there is none.
func (b *ProgressStore) Read(ctx context.Context, id string) (*Progress, error) {
	fields, err := b.redis.HGetAll(ctx, progressKey(id)).Result()
	if err != nil {
		return nil, fmt.Errorf("read the progress of a batch: %w", err)
	}
	if fields[fieldPass] == "" {
		return nil, nil
	}
	number := func(field string) int {
		n, _ := strconv.Atoi(fields[field])
		return n
	}
	p := &Progress{
		State: State(fields[fieldState]), Reason: fields[fieldReason],
		Pass: number(fieldPass), Cursor: number(fieldCursor), Rows: number(fieldRows),
		Calls: number(fieldCalls), Cap: number(fieldCap), blank: number(fieldBlank),
	}
	for s := RowValid; int(s) < rowStates; s++ {
		p.Counts[s] = number(countField(s))
	}
	return p, nil
}

// begin makes the board of a batch where there is none. fresh says that no row of it was ever fed; without it, the records
// are read before rows are fed. was is the summary of an earlier end, nil where there is none.
func (b *ProgressStore) begin(ctx context.Context, bt *Batch, fresh bool, was *Summary) error {
	rows := make([]byte, (bt.Rows+1)/2)
	fields := map[string]int{fieldPass: 1, fieldCursor: 0, fieldRows: bt.Rows, fieldCap: bt.MaxCalls, fieldCalls: 0}
	if fresh {
		fields[fieldBlank] = -1
	}
	if was != nil && was.Plan == bt.Plan && was.Runs >= 1 && was.Runs <= len(bt.Runs) {
		for i := range rows {
			rows[i] = byte(rowEarlier<<4 | rowEarlier)
		}
		fields[fieldPass], fields[fieldCursor], fields[fieldCalls] = was.Runs, bt.run(was.Runs).Rows, was.Calls
		for s, n := range was.counts() {
			fields[countField(s)] = n
		}
	}
	args := []any{string(rows), fieldState, string(bt.State)}
	for name, n := range fields {
		args = append(args, name, n)
	}
	keys := []string{progressKey(bt.ID), rowsKey(bt.ID), elsewhereKey(bt.ID)}
	if err := beginScript.Run(ctx, b.redis, keys, args...).Err(); err != nil {
		return fmt.Errorf("begin the progress of a batch: %w", err)
	}
	return nil
}

// Sync tells the workers what batch.json says, and keeps a board that was about to expire. A batch without a board is told
// by batch.json itself.
func (b *ProgressStore) Sync(ctx context.Context, bt *Batch) error {
	for _, key := range []string{progressKey(bt.ID), rowsKey(bt.ID), elsewhereKey(bt.ID)} {
		if err := b.redis.Persist(ctx, key).Err(); err != nil {
			return fmt.Errorf("tell the workers the state of a batch: %w", err)
		}
	}
	err := syncScript.Run(ctx, b.redis, []string{progressKey(bt.ID)}, fieldState, string(bt.State), fieldCap, bt.MaxCalls).Err()
	if err != nil {
		return fmt.Errorf("tell the workers the state of a batch: %w", err)
	}
	return nil
}

// advance moves the cursor of a pass. calls are those that were found in records of an earlier board.
func (b *ProgressStore) advance(ctx context.Context, id string, p *Progress, to, calls int, blank string) error {
	args := []any{p.Pass, p.Cursor, to, calls, blank}
	if err := advanceScript.Run(ctx, b.redis, []string{progressKey(id)}, args...).Err(); err != nil {
		return fmt.Errorf("move the cursor of a batch: %w", err)
	}
	return nil
}

// enter begins the pass after p.Pass.
func (b *ProgressStore) enter(ctx context.Context, id string, p *Progress, next RunKind) error {
	all := 0
	if next != SomeRows {
		all = 1
	}
	args := []any{p.Pass, p.Pass + 1, all, rowStates - 1}
	if err := enterScript.Run(ctx, b.redis, []string{progressKey(id), rowsKey(id)}, args...).Err(); err != nil {
		return fmt.Errorf("begin a pass of a batch: %w", err)
	}
	return nil
}

func (b *ProgressStore) setReason(ctx context.Context, id string, p *Progress, reason string) error {
	if p.Reason == reason {
		return nil
	}
	p.Reason = reason
	if err := syncScript.Run(ctx, b.redis, []string{progressKey(id)}, fieldReason, reason).Err(); err != nil {
		return fmt.Errorf("note why a batch waits: %w", err)
	}
	return nil
}

// states reads the states of the rows from (1 or more) to (included).
func (b *ProgressStore) states(ctx context.Context, id string, from, to int) ([]RowState, error) {
	first := (from - 1) / 2
	text, err := b.redis.GetRange(ctx, rowsKey(id), int64(first), int64((to-1)/2)).Result()
	if err != nil {
		return nil, fmt.Errorf("read the rows of a batch: %w", err)
	}
	states := make([]RowState, to-from+1)
	for i := range states {
		row := from - 1 + i
		if at := row/2 - first; at < len(text) {
			states[i] = RowState(text[at]>>(4*(row%2))) & 15
		}
	}
	return states, nil
}

// expire lets a board go that is not needed any more: the summary speaks for the batch then.
func (b *ProgressStore) expire(ctx context.Context, kind tasks.Kind, id string) error {
	if err := b.redis.ZRem(ctx, activeKey(kind), id).Err(); err != nil {
		return fmt.Errorf("let the progress of a batch expire: %w", err)
	}
	for _, key := range []string{progressKey(id), rowsKey(id), elsewhereKey(id)} {
		if err := b.redis.Expire(ctx, key, boardLife).Err(); err != nil {
			return fmt.Errorf("let the progress of a batch expire: %w", err)
		}
	}
	return nil
}

// boardLife is for watchers who have not seen the end yet.
const boardLife = 10 * time.Minute

// A row whose task belongs to somebody else waits here until the record of its id is final.

func (b *ProgressStore) addElsewhere(ctx context.Context, id string, orders []order) error {
	if len(orders) == 0 {
		return nil
	}
	members := make([]any, len(orders))
	for i, o := range orders {
		members[i] = strconv.Itoa(o.item.Row) + "/" + strconv.Itoa(o.run)
	}
	if err := b.redis.SAdd(ctx, elsewhereKey(id), members...).Err(); err != nil {
		return fmt.Errorf("note the rows in other hands: %w", err)
	}
	return nil
}

// elsewhere returns at most limit of the rows in other hands.
func (b *ProgressStore) elsewhere(ctx context.Context, id string, limit int) ([]Rerun, error) {
	members, err := b.redis.SRandMemberN(ctx, elsewhereKey(id), int64(limit)).Result()
	if err != nil {
		return nil, fmt.Errorf("read the rows in other hands: %w", err)
	}
	rows := make([]Rerun, 0, len(members))
	for _, m := range members {
		row, run, _ := strings.Cut(m, "/")
		r := Rerun{}
		r.Row, _ = strconv.Atoi(row)
		r.Run, _ = strconv.Atoi(run)
		if r.Row > 0 && r.Run > 0 {
			rows = append(rows, r)
		}
	}
	return rows, nil
}

func (b *ProgressStore) dropElsewhere(ctx context.Context, id string, rows []Rerun) error {
	if len(rows) == 0 {
		return nil
	}
	members := make([]any, len(rows))
	for i, r := range rows {
		members[i] = strconv.Itoa(r.Row) + "/" + strconv.Itoa(r.Run)
	}
	if err := b.redis.SRem(ctx, elsewhereKey(id), members...).Err(); err != nil {
		return fmt.Errorf("drop the rows in other hands: %w", err)
	}
	return nil
}

// stillFor tells for how long the count of ended rows has not changed.
func (b *ProgressStore) stillFor(ctx context.Context, id string, ended int) (time.Duration, error) {
	seen, err := b.redis.HMGet(ctx, progressKey(id), "seen", "seen_at").Result()
	if err != nil {
		return 0, fmt.Errorf("read the progress of a batch: %w", err)
	}
	count, _ := seen[0].(string)
	at, _ := seen[1].(string)
	millis, err := strconv.ParseInt(at, 10, 64)
	if err != nil || count != strconv.Itoa(ended) {
		return 0, b.moved(ctx, id, ended)
	}
	return time.Since(time.UnixMilli(millis)), nil
}

// moved notes the count of ended rows, and the time.
func (b *ProgressStore) moved(ctx context.Context, id string, ended int) error {
	err := syncScript.Run(ctx, b.redis, []string{progressKey(id)}, "seen", ended, "seen_at", time.Now().UnixMilli()).Err()
	if err != nil {
		return fmt.Errorf("note the progress of a batch: %w", err)
	}
	return nil
}
