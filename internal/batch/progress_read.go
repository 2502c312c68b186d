package batch

import (
	"context"
	"strconv"
	"strings"
	"time"
)

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
	// Codes counts the ended rows by code, and by codeMismatch.
	Codes map[string]int
	// PerMinute is how many rows ended in a minute lately; 0 if that is not known yet.
	PerMinute float64
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
	hash, reviews, at := pipe.HGetAll(ctx, progressKey(id)), pipe.BitCount(ctx, reviewsKey(id), nil), pipe.Time(ctx)
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
		PerMinute: perMinute(at.Val(), number), Codes: map[string]int{},
	}
	for field := range fields {
		if code, ok := strings.CutPrefix(field, codePrefix); ok {
			if n := number(codeField(number(field))); n > 0 {
				p.Codes[code] = n
			}
		}
	}
	for s := RowValid; int(s) < rowStates; s++ {
		p.Counts[s] = number(countField(s))
	}
	return p, nil
}

const (
	// The rows that end are counted by half minutes, in lateFields fields, of which the newest lateWindow count.
	lateStep   = 30 * time.Second
	lateFields = 12
	lateWindow = 10
	lateScale  = 1_000_000 // a field is the number of its half minute * lateScale + rows
	leastTime  = 20 * time.Second
)

// perMinute is the pace of the last five minutes, or since the first row of them ended, at a time by Redis' clock.
func perMinute(now time.Time, number func(field string) int) float64 {
	newest := int(now.Unix() / int64(lateStep/time.Second))
	rows, oldest := 0, newest+1
	for i := range lateFields {
		n := number("e" + strconv.Itoa(i))
		step := n / lateScale
		if n%lateScale == 0 || step > newest || step < newest-lateWindow {
			continue
		}
		rows, oldest = rows+n%lateScale, min(oldest, step)
	}
	took := now.Sub(time.Unix(int64(oldest)*int64(lateStep/time.Second), 0))
	if rows == 0 || took < leastTime {
		return 0
	}
	return float64(rows) / took.Minutes()
}
