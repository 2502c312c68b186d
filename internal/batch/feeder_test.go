package batch

import (
	"encoding/csv"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func TestEveryRowEndsWithOneCallAndAReport(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	const rows = 1050
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
			const rows = 1300
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

func TestLostTasksAreFedAgain(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	b := h.batch("lost", 50)
	h.feed(b.ID)
	if _, err := h.inspector.DeleteAllPendingTasks(tasks.Queue(tasks.Passport, tasks.Bulk)); err != nil {
		t.Fatal(err)
	}
	h.feed(b.ID)
	// As if no row had ended for a long time.
	old := time.Now().Add(-stalledAfter).UnixMilli()
	if err := h.redis.HSet(t.Context(), progressKey(b.ID), "seen", 0, "seen_at", old).Err(); err != nil {
		t.Fatal(err)
	}
	if s := h.finish(b.ID); s.Outcomes["valid"] != 50 || h.vendor.most() != 1 {
		t.Errorf("%+v", s)
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
		"erased, no longer known": {rec(func(r *storage.Record) { r.Fingerprint, r.Erased = "", &storage.Erasure{} }), 1, RowValid},
	} {
		if got := (&Row{Record: c.rec, batch: "b", run: c.run, spec: tasks.JobSpec{Fingerprint: "f"}}).judge(); got != c.want {
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
