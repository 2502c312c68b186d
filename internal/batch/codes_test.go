package batch

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/storage"
)

func (h *setup) wantCodes(when string, b *Batch, want map[string]int) {
	h.t.Helper()
	if s := h.status(b.ID); !maps.Equal(s.Codes, want) {
		h.t.Errorf("%s: %v, want %v", when, s.Codes, want)
	}
}

// The codes of a status are those of the records, at any time, although no record is read for it.
func TestCodesAreCountedAsRowsEnd(t *testing.T) {
	t.Parallel()
	if got := (Selection{Code: "other"}); !got.matches(&storage.Record{Code: "specimen_rejected"}) || got.matches(&storage.Record{Code: "not_found"}) {
		t.Error("other does not select the codes that are not in the table")
	}
	for _, wiped := range []bool{false, true} {
		t.Run(fmt.Sprintf("wiped=%v", wiped), func(t *testing.T) {
			t.Parallel()
			h := newSetup(t)
			b := h.batch("codes", 40)
			for n := range 21 { // more than half, so that some are among the first 20
				h.vendor.answer(fmt.Sprintf("SPEC%05d", n+1), cashfree.Rejected)
			}
			h.vendor.answer("SPEC00030", cashfree.Invalid)
			h.wantCodes("before", b, map[string]int{})
			h.feed(b.ID)
			h.work(20)
			half := map[string]int{}
			for _, r := range h.walk(b.ID) {
				if r.Record == nil {
					continue
				}
				if r.Record.Code != "" {
					half[advice.Listed(r.Record.Code)]++
				}
				if err := h.control.Progress.RowFinished(t.Context(), r.Record); err != nil { // tails are repeated
					t.Fatal(err)
				}
			}
			if len(half) == 0 {
				t.Fatal("no row has a code")
			}
			h.wantCodes("half", b, half)
			if wiped {
				h.wipe()
				h.feed(b.ID)
				h.wantCodes("from the records", b, half)
			}
			h.finish(b.ID)
			all := map[string]int{"other": 21, "invalid_passport": 1} // specimen_rejected is not in the table
			h.wantCodes("ended", b, all)
			if wiped {
				h.wipe()
			}
			clear(h.vendor.answers)
			h.vendor.answer("SPEC00007", cashfree.Invalid)
			if _, err := h.control.Retry(t.Context(), b.ID, 0, h.selectRows(b.ID, Selection{Code: "specimen_rejected"}).Rows, "test"); err != nil {
				t.Fatal(err)
			}
			h.feed(b.ID)
			h.feed(b.ID) // the first makes the progress
			h.wantCodes("retried", b, map[string]int{"invalid_passport": 1})
			h.work(5000)
			h.wantCodes("after the retry", b, map[string]int{"invalid_passport": 2})
			h.finish(b.ID)
			h.wantCodes("ended again", b, map[string]int{"invalid_passport": 2})
		})
	}
}

// Passports that differ from the input have no code, but are counted as rows with a code are.
func TestMismatchesAreCountedAsRowsEnd(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	b := h.batch("mismatches", 20)
	want := func(when string, n int) {
		t.Helper()
		if s := h.status(b.ID); s.Mismatches != n || len(s.Codes) != 0 {
			t.Errorf("%s: %d mismatches, want %d; codes %v", when, s.Mismatches, n, s.Codes)
		}
	}
	h.feed(b.ID)
	h.vendor.dob = "1901-01-01"
	h.work(6)
	want("some have ended", 6)
	h.wipe()
	h.feed(b.ID)
	want("from the records", 6)
	h.vendor.dob = ""
	h.finish(b.ID)
	want("ended", 6)
	h.wipe()
	want("from the summary", 6)
}

func TestThePaceIsThatOfTheRowsThatEndedLately(t *testing.T) {
	t.Parallel()
	at := time.Unix(3000, 0) // the beginning of half minute 100
	for name, c := range map[string]struct {
		now  time.Time
		ends map[string]int // by half minute
		want float64
	}{
		"nothing ended":              {at, nil, 0},
		"too short a time":           {at.Add(10 * time.Second), map[string]int{"100": 20}, 0},
		"since the first row":        {at.Add(30 * time.Second), map[string]int{"98": 30, "99": 60, "100": 60}, 100},
		"only the last five minutes": {at, map[string]int{"60": 900, "90": 50, "95": 50}, 20},
		"a stall counts":             {at.Add(60 * time.Second), map[string]int{"98": 30}, 15},
		"of the future":              {at.Add(30 * time.Second), map[string]int{"99": 60, "200": 60}, 60},
	} {
		fields := map[string]int{}
		for step, rows := range c.ends {
			var n int
			_, _ = fmt.Sscan(step, &n)
			fields[fmt.Sprintf("e%d", n%lateFields)] = n*lateScale + rows
		}
		if got := perMinute(c.now, func(field string) int { return fields[field] }); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	h := newSetup(t)
	b := h.batch("pace", 30)
	h.feed(b.ID)
	h.work(12)
	rows := 0
	for field, value := range h.redis.HGetAll(t.Context(), progressKey(b.ID)).Val() {
		var n int
		if len(field) > 1 && field[0] == 'e' {
			_, _ = fmt.Sscan(value, &n)
			rows += n % lateScale
		}
	}
	if rows != 12 {
		t.Errorf("%d rows ended lately, want 12", rows)
	}
}

// Cashfree's codes may be anything, and a row has one byte for the number of its code.
func TestCodesBeyondTheFirstAreCountedTogether(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	const rows = maxCodes + 100
	b := h.batch("many-codes", rows)
	h.feed(b.ID)
	code := func(row int) string { return fmt.Sprint("code_", row) }
	total := func(when string, want int) {
		t.Helper()
		codes, sum := h.progress(b.ID).Codes, 0
		for _, n := range codes {
			sum += n
		}
		if sum != want || len(codes) > maxCodes+1 || codes[otherCodes] == 0 {
			t.Errorf("%s: %d rows with %d codes, want %d rows; %d others", when, sum, len(codes), want, codes[otherCodes])
		}
	}
	was := &Summary{Plan: b.Plan, Runs: 1, Outcomes: map[string]int{"failed": rows}, AlreadyDone: map[string]int{}, Codes: map[string]int{}}
	for row := 1; row <= rows; row++ {
		was.Codes[code(row)] = 1
		if err := h.control.Progress.setRows(t.Context(), b.ID, true, rowChange{row: row, to: RowFailed, code: code(row)}); err != nil {
			t.Fatal(err)
		}
	}
	total("as rows end", rows)
	h.wipe()
	if err := h.control.Progress.create(t.Context(), b, false, was); err != nil {
		t.Fatal(err)
	}
	total("from the summary", rows)
	for row := 1; row <= rows/2; row++ { // a retry
		c := rowChange{row: row, to: RowOpen, was: RowFailed, wasCode: code(row)}
		if err := h.control.Progress.setRows(t.Context(), b.ID, false, c, rowChange{row: row, to: RowFailed, code: "new_" + code(row)}); err != nil {
			t.Fatal(err)
		}
	}
	total("after a retry", rows)
}
