package batch

import (
	"context"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/internal/testenv"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func TestEveryRowEndsWithOneCallAndAReport(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	const rows = 620
	b := h.batch("whole", rows)
	h.vendor.answer("SPEC00007", cashfree.Invalid)
	h.vendor.answer("SPEC00008", cashfree.Rejected)
	s := h.finish(b.ID)
	if s.State != Ended || s.Ended != rows || s.Outcomes["valid"] != rows-2 || s.Outcomes["invalid"] != 1 || s.Outcomes["failed"] != 1 {
		t.Errorf("status: %+v", s)
	}
	if h.vendor.total != rows || h.vendor.most() != 1 || s.Calls != rows {
		t.Errorf("%d calls (%d counted), at most %d for a row, of %d rows", h.vendor.total, s.Calls, h.vendor.most(), rows)
	}
	lines, err := csv.NewReader(strings.NewReader(h.object(ReportKey(b.ID)))).ReadAll()
	if err != nil || len(lines) != rows+1 {
		t.Fatalf("report.csv has %d lines, %v", len(lines), err)
	}
	if got := fmt.Sprint(lines[8][:6]); got != "[8 9 whole-00008 failed  specimen_rejected]" {
		t.Errorf("report line of row 8: %s", got)
	}
	if body := h.object(ReportKey(b.ID)) + h.object(summaryKey(b.ID)) + h.object(batchKey(b.ID)); strings.Contains(body, "SPECIMEN Person") ||
		strings.Contains(body, "SPEC00008") || strings.Contains(body, "1990-01-31") {
		t.Error("objects that the batch stores unsealed hold personal data")
	}
}

func TestTheProgressOfAnEndedBatchExpires(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	b := h.batch("expires", 10)
	h.finish(b.ID)
	for _, key := range []string{progressKey(b.ID), rowsKey(b.ID)} {
		if ttl := h.redis.TTL(t.Context(), key).Val(); ttl <= 0 {
			t.Errorf("%s does not expire", key)
		}
	}
	h.wipe()
	if s := h.status(b.ID); s.Outcomes["valid"] != 10 || !s.Done {
		t.Errorf("the summary says %+v", s)
	}
}

func TestTheQueueStaysShallow(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	h.rate = 1e9
	b := h.batch("shallow", 3000)
	for range 5 {
		h.feed(b.ID)
	}
	pending, err := h.inspector.GetQueueInfo(tasks.Queue(tasks.Passport, tasks.Bulk))
	if err != nil {
		t.Fatal(err)
	}
	if pending.Size > maxOutstanding || pending.Size < maxOutstanding/2 {
		t.Errorf("%d tasks are in the queue, want at most %d and not many fewer", pending.Size, maxOutstanding)
	}
}

func TestARebuiltOrAmendedBatchIsFedNoFaster(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	b := h.batch("slowly", 1500)
	h.wipe()
	for range 20 {
		h.feed(b.ID)
	}
	p := h.progress(b.ID)
	if open := p.outstanding(AllRows); open > targetDepth(h.rate)+chunk/2 {
		t.Errorf("%d rows are open after a wipe", open)
	}
}

// A wiped Redis must cost no row and no second call, wherever the batch is.
func TestAWipedRedisCostsNoRowAndNoSecondCall(t *testing.T) {
	t.Parallel()
	for _, done := range []int{0, 200} {
		t.Run(fmt.Sprint(done), func(t *testing.T) {
			t.Parallel()
			h := newSetup(t)
			const rows = 520
			b := h.batch("wiped", rows)
			h.feed(b.ID)
			h.work(done)
			h.wipe()
			if err := h.feeder.ScheduleAll(t.Context()); err != nil {
				t.Fatal(err)
			}
			if info, err := h.inspector.GetTaskInfo(Queue, b.ID); err != nil || info.State.String() != "pending" {
				t.Fatalf("the feed task was not scheduled again: %v", err)
			}
			s := h.finish(b.ID)
			if s.Outcomes["valid"] != rows || h.vendor.total != rows || h.vendor.most() != 1 {
				t.Errorf("%d valid, %d calls, at most %d for a row", s.Outcomes["valid"], h.vendor.total, h.vendor.most())
			}
		})
	}
}

func TestAFeederKilledBeforeTheCursorMovesFeedsNothingTwice(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	b := h.batch("dies", 250)
	h.feed(b.ID)
	h.work(100)
	if err := h.redis.HSet(t.Context(), progressKey(b.ID), fieldCursor, 0).Err(); err != nil {
		t.Fatal(err)
	}
	s := h.finish(b.ID)
	if s.Outcomes["valid"] != 250 || h.vendor.most() != 1 {
		t.Errorf("%+v, at most %d calls for a row", s, h.vendor.most())
	}
}

// recheck makes the check of the open rows due, as the passing of checkEvery does.
func (h *setup) recheck(id string) {
	h.t.Helper()
	if err := h.control.Progress.dropCheck(h.t.Context(), id); err != nil {
		h.t.Fatal(err)
	}
}

func TestLostTasksAreFedAgain(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	b := h.batch("lost", 50)
	h.feed(b.ID)
	if _, err := h.inspector.DeleteAllPendingTasks(tasks.Queue(tasks.Passport, tasks.Bulk)); err != nil {
		t.Fatal(err)
	}
	h.recheck(b.ID)
	h.feed(b.ID)
	if rounds, err := redisx.ReadRounds(t.Context(), h.redis); err != nil || rounds.Missing != 50 {
		t.Errorf("%+v, %v: want 50 missing tasks", rounds, err)
	}
	h.recheck(b.ID)
	if s := h.finish(b.ID); s.Outcomes["valid"] != 50 || h.vendor.most() != 1 {
		t.Errorf("%+v", s)
	}
	if rounds, _ := redisx.ReadRounds(t.Context(), h.redis); rounds.Missing != 50 {
		t.Errorf("%d missing tasks, although only 50 were lost", rounds.Missing)
	}
}

// Redis comes back with an older state of itself: without rows that were fed since, and with rows that have ended since.
func TestABatchGoesOnAfterRedisCameBackOlder(t *testing.T) {
	t.Parallel()
	for _, done := range []int{0, 30} {
		t.Run(fmt.Sprint(done), func(t *testing.T) {
			t.Parallel()
			testenv.Redis(t) // miniredis has no DUMP
			h := newSetup(t)
			b := h.batch("older", 450)
			h.feed(b.ID)
			h.work(done)
			older := h.snapshot()
			h.work(100)
			h.feed(b.ID)
			h.work(250)
			h.feed(b.ID)
			h.restore(older)
			h.recheck(b.ID)
			s := h.finish(b.ID)
			if s.Outcomes["valid"] != 450 || h.vendor.total != 450 || h.vendor.most() != 1 {
				t.Errorf("%d valid, %d calls, at most %d for a row", s.Outcomes["valid"], h.vendor.total, h.vendor.most())
			}
		})
	}
}

// snapshot returns all keys, restore puts them back, as a restart from an RDB file or a promoted replica does.
func (h *setup) snapshot() map[string]string {
	h.t.Helper()
	dump := map[string]string{}
	for _, key := range h.redis.Keys(h.t.Context(), "*").Val() {
		text, err := h.redis.Dump(h.t.Context(), key).Result()
		if err != nil {
			h.t.Fatal(err)
		}
		dump[key] = text
	}
	return dump
}

func (h *setup) restore(dump map[string]string) {
	h.t.Helper()
	h.wipe()
	for key, text := range dump {
		if err := h.redis.RestoreReplace(h.t.Context(), key, 0, text).Err(); err != nil {
			h.t.Fatal(err)
		}
	}
}

// An answer that is paid for waits for no queue: its image link expires.
func TestAnAnsweredRowGoesOnWithoutATaskAndWhileItsQueueIsPaused(t *testing.T) {
	t.Parallel()
	for _, paused := range []bool{false, true} {
		t.Run(fmt.Sprint(paused), func(t *testing.T) {
			t.Parallel()
			h := newSetup(t)
			b := h.batch("answered", 20)
			var finished []string
			h.feeder.Finish = func(_ context.Context, job tasks.JobSpec) bool {
				finished = append(finished, job.VerificationID)
				return true
			}
			h.feed(b.ID)
			queue := tasks.Queue(tasks.Passport, tasks.Bulk)
			info, err := h.inspector.GetTaskInfo(queue, "answered-00003")
			if err != nil {
				t.Fatal(err)
			}
			job, err := tasks.DecodePayload(info.Payload)
			if err != nil {
				t.Fatal(err)
			}
			rec := storage.NewRecord(job)
			rec.State = storage.StateAnswered
			if _, err := h.store.CreateRecord(t.Context(), rec); err != nil {
				t.Fatal(err)
			}
			if paused {
				err = h.inspector.PauseQueue(queue)
			} else {
				err = h.inspector.DeleteTask(queue, info.ID)
			}
			if err != nil {
				t.Fatal(err)
			}
			h.recheck(b.ID)
			h.feed(b.ID)
			if !slices.Equal(finished, []string{"answered-00003"}) {
				t.Errorf("finished %v", finished)
			}
			if foreign, _ := h.control.Progress.foreign(t.Context(), b.ID, 100); len(foreign) != 0 {
				t.Errorf("rows count as those of another batch: %v", foreign)
			}
		})
	}
}

// A run that begins while the run before it ends must keep its marker, or nothing finds the batch after Redis is lost.
func TestTheEndOfARunLeavesTheMarkerOfTheNextRun(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	b := h.batch("again", 5)
	h.finish(b.ID)
	open := func() string {
		ids, err := h.control.Batches.openIDs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(ids)
	}
	if got := open(); got != "[]" {
		t.Fatalf("open: %s", got)
	}
	ended, err := h.control.Batches.Load(t.Context(), b.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.control.Retry(t.Context(), b.ID, 0, []Rerun{{Row: 1, Run: 2, Was: RowValid}}, "test"); err != nil {
		t.Fatal(err)
	}
	if err := h.control.Batches.unmark(t.Context(), ended); err != nil { // the slow end of the first run
		t.Fatal(err)
	}
	if got := open(); got != "["+b.ID+"]" {
		t.Errorf("open: %s", got)
	}
	h.finish(b.ID)
	if got := open(); got != "[]" {
		t.Errorf("after the second run: %s", got)
	}
}

func TestAnEarlierVersionsBatchGetsItsMarker(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	b, done := h.batch("marked", 5), h.batch("done", 6)
	h.finish(done.ID)
	for range 2 {
		if err := h.control.Batches.markers.Delete(t.Context(), openFolder+b.ID+"/1"); err != nil {
			t.Fatal(err)
		}
		if err := h.control.Batches.MarkOpen(t.Context()); err != nil {
			t.Fatal(err)
		}
		if ids, err := h.control.Batches.openIDs(t.Context()); err != nil || len(ids) != 1 || ids[0] != b.ID {
			t.Errorf("open: %v, %v", ids, err)
		}
	}
}

func TestRowsWaitForAWorkerThatHasTheKey(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	b := h.batch("key", 10)
	h.feeder.Keyset = seal.Insecure()
	after, err := h.feeder.step(t.Context(), b.ID)
	if err != nil || after != missingKeyDelay {
		t.Errorf("got %v, %v, want a delay of %v", after, err, missingKeyDelay)
	}
}

func TestAHeldQueueIsNotFed(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	b := h.batch("held", 10)
	if err := h.inspector.PauseQueue(tasks.Queue(tasks.Passport, tasks.Bulk)); err != nil {
		t.Fatal(err)
	}
	if fed := h.feed(b.ID); fed != 0 {
		t.Errorf("%d rows were fed", fed)
	}
	if s := h.status(b.ID); s.Reason != "held" {
		t.Errorf("the reason is %q", s.Reason)
	}
}

// The progress in Redis may be wrong: the records decide whether a batch has ended.
func TestABatchDoesNotEndWhileARecordIsOpen(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	const rows = 20
	b := h.batch("early", rows)
	h.feed(b.ID)
	h.work(rows - 5)
	changes := make([]rowChange, rows)
	for i := range changes {
		changes[i] = rowChange{row: i + 1, to: RowValid, was: RowOpen}
	}
	if err := h.control.Progress.setRows(t.Context(), b.ID, false, changes...); err != nil {
		t.Fatal(err)
	}
	h.feed(b.ID)
	if s := h.status(b.ID); s.Done {
		t.Fatalf("ended with 5 open rows: %+v", s)
	}
	if s := h.finish(b.ID); s.Outcomes["valid"] != rows || h.vendor.total != rows {
		t.Errorf("%+v, %d calls", s, h.vendor.total)
	}
}

func TestTheRecordDecidesTheStateOfARow(t *testing.T) {
	t.Parallel()
	rec := func(change func(*storage.Record)) *storage.Record {
		r := &storage.Record{JobSpec: tasks.JobSpec{Batch: "b", Run: 1, Fingerprint: "f"}, State: storage.StateValid}
		change(r)
		return r
	}
	for name, c := range map[string]struct {
		rec  *storage.Record
		run  int
		want RowState
	}{
		"no record":               {nil, 1, RowOpen},
		"own end":                 {rec(func(*storage.Record) {}), 1, RowValid},
		"not final":               {rec(func(r *storage.Record) { r.State = storage.StateSent }), 1, RowOpen},
		"earlier run":             {rec(func(*storage.Record) {}), 2, RowOpen},
		"later run":               {rec(func(r *storage.Record) { r.Run = 3 }), 2, RowValid},
		"another batch's":         {rec(func(r *storage.Record) { r.Batch, r.State = "c", storage.StateFailed }), 1, RowDoneFailed},
		"another input":           {rec(func(r *storage.Record) { r.Fingerprint = "g" }), 1, RowConflict},
		"erased, next run":        {rec(func(r *storage.Record) { r.Fingerprint, r.Erased = "", &storage.Erasure{} }), 2, RowValid},
		"erased in another batch": {rec(func(r *storage.Record) { r.Batch, r.Erased = "c", &storage.Erasure{} }), 1, RowDoneValid},
		"erased, no longer known": {rec(func(r *storage.Record) { r.Fingerprint, r.Erased = "", &storage.Erasure{} }), 1, RowValid},
	} {
		if got := (&Row{Item: &manifest.Item{}, Record: c.rec, batch: "b", run: c.run, spec: tasks.JobSpec{Fingerprint: "f"}}).judge(); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
}

func TestRoomInTheQueueIsSharedAndBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		queue       queueDepth
		p           Progress
		outstanding int
		want        int
	}{
		"alone":                 {queueDepth{batches: 1}, Progress{}, 0, 300},
		"filled":                {queueDepth{batches: 1, pending: 300}, Progress{}, 300, 0},
		"three batches":         {queueDepth{batches: 3}, Progress{}, 0, 100},
		"many batches":          {queueDepth{batches: 100}, Progress{}, 0, minQuota},
		"delayed rows":          {queueDepth{batches: 1, delayed: 50}, Progress{}, 300, 50},
		"all rows delayed":      {queueDepth{batches: 1, delayed: 9000}, Progress{}, maxOutstanding, 0},
		"call limit":            {queueDepth{batches: 1}, Progress{MaxCalls: 100, Calls: 60}, 30, 10},
		"call limit reached":    {queueDepth{batches: 1}, Progress{MaxCalls: 100, Calls: 90}, 30, 0},
		"others fill the queue": {queueDepth{batches: 2, pending: 450}, Progress{}, 0, 0},
	} {
		if got := c.queue.room(&c.p, c.outstanding, targetDepth(100)); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
	if targetDepth(100) != 300 || targetDepth(1) != minDepth || targetDepth(1e9) != maxDepth {
		t.Error("the target depth is not three minutes of calls within its bounds")
	}
}
