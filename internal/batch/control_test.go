package batch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func TestACancelStopsCallsAndAmendContinues(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	const rows = 450
	b := h.batch("cancel", rows)
	h.feed(b.ID)
	h.work(120)
	if _, err := h.control.Cancel(t.Context(), b.ID); err != nil {
		t.Fatal(err)
	}
	called := h.vendor.total
	s := h.finish(b.ID)
	if h.vendor.total != called || called != 120 {
		t.Errorf("%d calls before the cancel, %d after", called, h.vendor.total-called)
	}
	if s.State != Cancelled || s.Outcomes["valid"] != 120 || s.Outcomes["cancelled"] != rows-120 {
		t.Errorf("status: %+v", s)
	}
	records := 0
	for _, err := range h.store.Records(t.Context(), tasks.Passport) {
		if err != nil {
			t.Fatal(err)
		}
		records++
	}
	if records > targetDepth(h.rate) {
		t.Errorf("%d records: rows that were never fed have records", records)
	}

	if _, err := h.control.Amend(t.Context(), b.ID, 0); err != nil {
		t.Fatal(err)
	}
	s = h.finish(b.ID)
	if s.State != Ended || s.Outcomes["valid"] != rows || h.vendor.total != rows || h.vendor.most() != 1 {
		t.Errorf("after the amend: %+v, %d calls, at most %d for a row", s, h.vendor.total, h.vendor.most())
	}
}

func TestWorkersSeeACancelBeforeTheFeederDoes(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	b := h.batch("told", 50)
	h.feed(b.ID)
	if _, err := h.control.Cancel(t.Context(), b.ID); err != nil {
		t.Fatal(err)
	}
	if n := h.work(50); n != 50 || h.vendor.total != 0 {
		t.Errorf("%d calls in %d deliveries after the cancel", h.vendor.total, n)
	}
}

// dyingClient ends the feeder's context when it has enqueued that many rows.
type dyingClient struct {
	Client
	left atomic.Int32
	die  context.CancelFunc
}

func (c *dyingClient) Push(ctx context.Context, p tasks.JobSpec) (tasks.Status, error) {
	status, err := c.Client.Push(context.WithoutCancel(ctx), p)
	if c.left.Add(-1) == 0 {
		c.die()
	}
	return status, err
}

func TestACancelCountsTheCallsOfRowsThatADeadFeederEnqueued(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	const rows, queued, called = 700, 300, 120
	b := h.batch("dead", rows)
	ctx, die := context.WithCancel(t.Context())
	client := &dyingClient{Client: h.client, die: die}
	client.left.Store(queued)
	h.feeder.Client = client
	f := &feed{Feeder: h.feeder, b: b, parts: PartsOf(h.store, h.keyset, b)}
	if _, _, err := f.tick(ctx); err == nil {
		t.Fatal("the feeder did not die")
	}
	h.feeder.Client = h.client
	if p := h.progress(b.ID); p.Cursor != 0 || p.Fed != queued {
		t.Fatalf("cursor %d, fed %d, want 0 and %d", p.Cursor, p.Fed, queued)
	}
	if n := h.work(called); n != called {
		t.Fatalf("%d tasks were delivered, want %d", n, called)
	}
	if _, err := h.control.Cancel(t.Context(), b.ID); err != nil {
		t.Fatal(err)
	}
	if s := h.status(b.ID); s.Open != queued-called || s.Outcomes["valid"] != called {
		t.Errorf("after the cancel: %+v, want %d open rows", s, queued-called)
	}
	h.checkCancelled(b.ID, rows, called)
}

func TestACancelCountsTheCallsThatARolledBackRedisForgot(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	const rows, called = 900, 120
	b := h.batch("older", rows)
	older := h.redis.HGetAll(t.Context(), progressKey(b.ID)).Val()
	states := h.redis.Get(t.Context(), rowsKey(b.ID)).Val()
	h.feed(b.ID)
	h.work(called)
	pipe := h.redis.TxPipeline()
	pipe.Del(t.Context(), progressKey(b.ID))
	pipe.HSet(t.Context(), progressKey(b.ID), older)
	pipe.Set(t.Context(), rowsKey(b.ID), states, 0)
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.control.Cancel(t.Context(), b.ID); err != nil {
		t.Fatal(err)
	}
	h.checkCancelled(b.ID, rows, called)
}

// checkCancelled finishes a cancelled batch and checks its counts and its report.
func (h *setup) checkCancelled(id string, rows, called int) {
	h.t.Helper()
	s := h.finish(id)
	if s.Calls != called || s.Outcomes["valid"] != called || s.Outcomes["cancelled"] != rows-called || h.vendor.total != called {
		h.t.Errorf("%d calls were made: %+v", called, s)
	}
	if n := strings.Count(h.object(ReportKey(id)), ",valid,"); n != called {
		h.t.Errorf("the report has %d valid rows, want %d", n, called)
	}
	paid := 0
	for _, r := range h.walk(id) {
		paid += r.Calls()
	}
	if paid != called {
		h.t.Errorf("the rows show %d calls, want %d", paid, called)
	}
}

func TestACancelSurvivesAWipedRedis(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	b := h.batch("kept", 300)
	h.feed(b.ID)
	h.work(10)
	if _, err := h.control.Cancel(t.Context(), b.ID); err != nil {
		t.Fatal(err)
	}
	h.wipe()
	if stopped, _, err := h.control.Progress.Stopped(t.Context(), b.ID); err != nil || !stopped {
		t.Fatalf("stopped without Redis: %v, %v", stopped, err)
	}
	if s := h.finish(b.ID); s.Outcomes["valid"] != 10 || s.Outcomes["cancelled"] != 290 || h.vendor.total != 10 {
		t.Errorf("%+v, %d calls", s, h.vendor.total)
	}
}

func TestAPausedBatchMakesNoCallsUntilItIsResumed(t *testing.T) {
	t.Parallel()
	for _, wiped := range []bool{false, true} {
		t.Run(fmt.Sprintf("wiped=%v", wiped), func(t *testing.T) {
			t.Parallel()
			h := newSetup(t)
			h.rate = 10 // 64 rows in the queue
			b := h.batch("paused", 120)
			h.feed(b.ID)
			h.work(10)
			for _, by := range []string{"asha", "ravi"} {
				if _, err := h.control.Pause(t.Context(), b.ID, Pause{By: by, Reason: "a trial"}); err != nil {
					t.Fatal(err)
				}
			}
			if wiped {
				h.wipe()
			} else if n := h.feed(b.ID); n != 0 {
				t.Errorf("%d rows were fed", n)
			}
			h.work(1000) // its rows are in the queue
			for range 5 {
				h.feed(b.ID)
				h.work(1000)
			}
			s := h.status(b.ID)
			if h.vendor.total != 10 || s.State != Paused || s.Pause.By != "asha" || s.Outcomes["valid"] != 10 {
				t.Fatalf("%d calls: %+v", h.vendor.total, s)
			}
			if _, err := h.control.SetMaxCalls(t.Context(), b.ID, 0); err != nil || h.status(b.ID).State != Paused {
				t.Errorf("another limit: %v, %s", err, h.status(b.ID).State)
			}
			if _, err := h.control.Resume(t.Context(), b.ID); err != nil {
				t.Fatal(err)
			}
			if _, err := h.inspector.RunAllArchivedTasks(tasks.Queue(tasks.Passport, tasks.Bulk)); err != nil {
				t.Fatal(err)
			}
			if s := h.finish(b.ID); s.Outcomes["valid"] != 120 || h.vendor.most() != 1 || s.Pause != nil {
				t.Errorf("%+v", s)
			}
			if _, err := h.control.Resume(t.Context(), b.ID); !errors.Is(err, ErrNotPaused) {
				t.Error(err)
			}
			if _, err := h.control.Pause(t.Context(), b.ID, Pause{}); !errors.Is(err, ErrDone) {
				t.Error(err)
			}
		})
	}
}

func TestAPausedBatchCanBeRetriedAndCancelled(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	b := h.batch("paused", 20)
	h.feed(b.ID)
	h.work(5)
	if _, err := h.control.Pause(t.Context(), b.ID, Pause{By: "asha"}); err != nil {
		t.Fatal(err)
	}
	if b, err := h.control.Retry(t.Context(), b.ID, 0, nil, "failed"); err != nil || b.State != Paused {
		t.Fatalf("%+v, %v", b, err)
	}
	if _, err := h.control.Cancel(t.Context(), b.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := h.control.Pause(t.Context(), b.ID, Pause{}); !errors.Is(err, ErrCancelled) {
		t.Error(err)
	}
	if s := h.finish(b.ID); s.Outcomes["cancelled"] != 15 || s.Pause != nil || h.vendor.total != 5 {
		t.Errorf("%+v", s)
	}
}

func TestTheCallLimitIsKeptAndARaisedLimitContinues(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	b := h.batch("capped", 400)
	if _, err := h.control.SetMaxCalls(t.Context(), b.ID, 150); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		h.feed(b.ID)
		h.work(1000)
	}
	s := h.status(b.ID)
	if h.vendor.total != 150 || s.State != CallLimitReached || s.Outcomes["valid"] != 150 || s.Reason == "" {
		t.Fatalf("%d calls at a limit of 150: %+v", h.vendor.total, s)
	}
	if _, err := h.control.SetMaxCalls(t.Context(), b.ID, 0); err != nil {
		t.Fatal(err)
	}
	if s := h.finish(b.ID); s.Outcomes["valid"] != 400 || h.vendor.total != 400 || h.vendor.most() != 1 {
		t.Errorf("%+v", s)
	}
}

func TestTheCallLimitSurvivesAWipedRedis(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	b := h.batch("capwipe", 200)
	if _, err := h.control.SetMaxCalls(t.Context(), b.ID, 50); err != nil {
		t.Fatal(err)
	}
	h.feed(b.ID)
	h.work(30)
	h.wipe()
	for range 10 {
		h.feed(b.ID)
		h.work(1000)
	}
	if s := h.status(b.ID); h.vendor.total != 50 || s.State != CallLimitReached {
		t.Errorf("%d calls at a limit of 50: %+v", h.vendor.total, s)
	}
}

func TestAWorkerMakesNoCallBeyondTheLimit(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	b := h.batch("strict", 40)
	h.feed(b.ID) // all rows are in the queue before the limit is set
	if _, err := h.control.SetMaxCalls(t.Context(), b.ID, 15); err != nil {
		t.Fatal(err)
	}
	h.work(100)
	if h.vendor.total != 15 {
		t.Errorf("%d calls at a limit of 15", h.vendor.total)
	}
}

func TestRetryRunsTheSelectedRowsAgain(t *testing.T) {
	t.Parallel()
	for _, wiped := range []bool{false, true} {
		t.Run(fmt.Sprintf("wiped=%v", wiped), func(t *testing.T) {
			t.Parallel()
			h := newSetup(t)
			const rows = 260
			b := h.batch("retry", rows)
			for _, n := range []int{3, 77, 250} {
				h.vendor.answer(fmt.Sprintf("SPEC%05d", n), cashfree.Rejected)
			}
			h.vendor.answer("SPEC00005", cashfree.Invalid)
			h.finish(b.ID)
			clear(h.vendor.answers)
			if wiped {
				h.wipe()
			}
			for want, selection := range map[int]Selection{0: {Lost: true}, 1: {Invalid: true}, 3: {Failed: true}} {
				if got := len(h.selectRows(b.ID, selection).Rows); got != want {
					t.Errorf("%s selects %d rows, want %d", selection, got, want)
				}
			}
			selected := h.selectRows(b.ID, Selection{Code: "specimen_rejected"})
			if want := map[string]int{"specimen_rejected": 3, "invalid_passport": 1}; !maps.Equal(selected.Codes, want) {
				t.Errorf("the rows that could be retried: %v, want %v", selected.Codes, want)
			}
			if _, err := h.control.Retry(t.Context(), b.ID, 0, selected.Rows, "code=specimen_rejected"); err != nil {
				t.Fatal(err)
			}
			if s := h.status(b.ID); s.Done || s.State != Running {
				t.Fatalf("after the retry: %+v", s)
			}
			s := h.finish(b.ID)
			if s.Outcomes["valid"] != rows-1 || s.Outcomes["failed"] != 0 || h.vendor.total != rows+3 {
				t.Errorf("%+v, %d calls", s, h.vendor.total)
			}
			for _, e := range h.walk(b.ID) {
				if want := map[int]int{3: 2, 77: 2, 250: 2}[e.Item.Row]; want > 0 && e.Record.Run != want {
					t.Errorf("row %d ended in run %d", e.Item.Row, e.Record.Run)
				}
			}
		})
	}
}

func (h *setup) selectRows(id string, s Selection) *Selected {
	h.t.Helper()
	b, err := h.control.Batches.Load(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	selected, err := h.control.Select(h.t.Context(), b, PartsOf(h.store, h.keyset, b), h.client, s, func(int) {})
	if err != nil {
		h.t.Fatal(err)
	}
	return selected
}

// shared returns the id and the file number of a row, which are the same in every batch.
func shared(row int) (id, number string) {
	return fmt.Sprintf("shared-%05d", row), fmt.Sprintf("SPEC%05d", row)
}

func TestARowThatIsDoneAlreadyIsReportedAndNotCalled(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	first := h.batchOf("first", 200, shared)
	h.finish(first.ID)
	second := h.batchOf("second", 250, shared)
	s := h.finish(second.ID)
	if s.AlreadyDone != 200 || s.Outcomes["valid"] != 250 || h.vendor.total != 250 || s.Calls != 50 {
		t.Errorf("%+v, %d calls in all", s, h.vendor.total)
	}
}

func TestARowOwnedByAnotherBatchWaitsForItsRecord(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	first := h.batchOf("one", 100, shared)
	second := h.batchOf("two", 100, shared)
	h.feed(first.ID)
	h.feed(second.ID) // every id has a task already
	h.work(60)
	if s := h.status(second.ID); s.Ended != 0 {
		t.Fatalf("rows of the second batch ended too early: %+v", s)
	}
	h.work(100)
	a, b := h.finish(first.ID), h.finish(second.ID)
	if a.Outcomes["valid"] != 100 || b.Outcomes["valid"] != 100 || b.AlreadyDone != 100 || h.vendor.total != 100 {
		t.Errorf("first %+v, second %+v, %d calls", a, b, h.vendor.total)
	}
}

func TestAnotherInputUnderAKnownIDIsAConflict(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	h.finish(h.batchOf("right", 20, shared).ID)
	b := h.batchOf("wrong", 20, func(row int) (id, number string) {
		id, number = shared(row)
		if row == 4 {
			number = "SPECOTHER"
		}
		return id, number
	})
	s := h.finish(b.ID)
	if s.DifferentInput != 1 || s.Outcomes["failed"] != 1 || h.vendor.total != 20 {
		t.Errorf("%+v, %d calls", s, h.vendor.total)
	}
	if e := h.walk(b.ID)[3]; e.Code() != CodeDifferentInput || e.Own() {
		t.Errorf("row 4: code %q, own %v", e.Code(), e.Own())
	}
}

func TestABatchIsAcceptedOnceAndNeverMixedWithAnother(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	b := h.batch("once", 10)
	again := *b
	if created, err := h.control.Batches.Accept(t.Context(), &again); err != nil || created {
		t.Errorf("the same batch again: created %v, %v", created, err)
	}
	other := *b
	other.Plan = "other"
	if _, err := h.control.Batches.Accept(t.Context(), &other); !errors.Is(err, ErrOtherManifest) {
		t.Errorf("other rows under the same id: %v", err)
	}
}

func TestAnEndedBatchCannotBeCancelled(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	b := h.batch("over", 5)
	h.finish(b.ID)
	if _, err := h.control.Cancel(t.Context(), b.ID); !errors.Is(err, ErrDone) {
		t.Errorf("got %v", err)
	}
	if open, err := h.control.Batches.Open(t.Context()); err != nil || len(open) != 0 {
		t.Errorf("open batches: %v, %v", open, err)
	}
	if all, err := h.control.Batches.All(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("all batches: %v, %v", all, err)
	}
}

func TestARowWhoseCallMayHaveBeenChargedIsSelectedAsLostWhateverItsCode(t *testing.T) {
	t.Parallel()
	lost := storage.Attempt{Result: storage.ResultUnknown}
	refused := storage.Attempt{Result: "refused", HTTPStatus: 503}
	for name, c := range map[string]struct {
		record storage.Record
		want   Selection
		paid   int
	}{
		"an error":             {storage.Record{State: storage.StateFailed, Code: "unexpected_status", Attempts: []storage.Attempt{refused}}, Selection{Failed: true}, 0},
		"an error after a 200": {storage.Record{State: storage.StateFailed, Code: "unsafe_mask", Attempts: []storage.Attempt{{HTTPStatus: 200, Result: "answered"}}}, Selection{Failed: true}, 1},
		"an error after a loss": {
			storage.Record{State: storage.StateFailed, Code: "unexpected_status", Attempts: []storage.Attempt{lost, refused}}, Selection{Lost: true}, 1,
		},
		"a lost answer":  {storage.Record{State: storage.StateFailed, Code: "answer_lost", Attempts: []storage.Attempt{lost}}, Selection{Lost: true}, 1},
		"a lost cancel":  {storage.Record{State: storage.StateCancelled, Code: "answer_lost", Attempts: []storage.Attempt{lost}}, Selection{Lost: true}, 1},
		"a later result": {storage.Record{State: storage.StateInvalid, Code: "invalid_passport", Attempts: []storage.Attempt{lost, {HTTPStatus: 200}}}, Selection{Invalid: true}, 1},
	} {
		for _, s := range []Selection{{Failed: true}, {Lost: true}, {Invalid: true}} {
			selected := &Selected{Codes: map[string]int{}}
			selected.add(&Row{Item: &manifest.Item{}, Record: &c.record, State: ownState[c.record.State]}, s)
			if got := len(selected.Rows) == 1; got != (s == c.want) || got && selected.PaidBefore != c.paid {
				t.Errorf("%s: %s selects it: %v, paid before %d", name, s, got, selected.PaidBefore)
			}
		}
	}
}

func TestARowWhoseImageWasDeletedIsNotSelected(t *testing.T) {
	t.Parallel()
	rec := &storage.Record{State: storage.StateInvalid, UploadDeletedAt: now()}
	selected := &Selected{Codes: map[string]int{}}
	selected.add(&Row{Item: &manifest.Item{}, Record: rec, State: RowInvalid}, Selection{Invalid: true})
	if len(selected.Rows) != 0 || selected.InputGone != 1 {
		t.Errorf("%+v", selected)
	}
}

// A call was counted when the limit was reached, and then could not be made.
func TestABatchContinuesIfACountedCallIsTakenBack(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	b := h.batch("taken-back", 200)
	if _, err := h.control.SetMaxCalls(t.Context(), b.ID, 50); err != nil {
		t.Fatal(err)
	}
	h.feed(b.ID)
	if taken, err := h.control.Progress.TakeCall(t.Context(), b.ID); err != nil || !taken {
		t.Fatal(taken, err)
	}
	for range 5 {
		h.feed(b.ID)
		h.work(1000)
	}
	if s := h.status(b.ID); h.vendor.total != 49 || s.State != CallLimitReached {
		t.Fatalf("%d calls, %+v", h.vendor.total, s)
	}
	if err := h.control.Progress.ReturnCall(t.Context(), b.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := h.inspector.RunAllArchivedTasks(tasks.Queue(tasks.Passport, tasks.Bulk)); err != nil { // the row that was refused
		t.Fatal(err)
	}
	for range 5 {
		h.feed(b.ID)
		h.work(1000)
	}
	if s := h.status(b.ID); h.vendor.total != 50 || s.State != CallLimitReached {
		t.Errorf("%d calls, %+v", h.vendor.total, s)
	}
}

func TestOnlyBatchJSONAsksForAFurtherRun(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	b := h.batch("asked", 2*listRows+10)
	var rows []Rerun
	for row := 2; row <= b.Rows; row += 2 {
		rows = append(rows, Rerun{Row: row, Run: 2, Was: RowFailed})
	}
	if _, err := h.control.Retry(t.Context(), b.ID, 0, rows, "test"); err != nil {
		t.Fatal(err)
	}
	ended := &storage.Record{JobSpec: tasks.JobSpec{Run: 1}, State: storage.StateFailed}
	cancelled := &storage.Record{JobSpec: tasks.JobSpec{Run: 1}, State: storage.StateCancelled}
	lost := &storage.Record{JobSpec: tasks.JobSpec{Run: 1}, State: storage.StateCancelled, Code: codeAnswerLost}
	asks := func(batch string, row, run int, rec *storage.Record, want bool) {
		t.Helper()
		got, err := h.control.Progress.RunAsked(t.Context(), tasks.JobSpec{Batch: batch, Row: row, Run: run}, rec)
		if err != nil || got != want {
			t.Errorf("batch %s, row %d, run %d, %s: %t, %v", batch, row, run, rec.State, got, err)
		}
	}
	asks(b.ID, 2, 2, ended, true)
	asks(b.ID, listRows, 2, ended, true)
	asks(b.ID, 2*listRows+10, 2, ended, true)
	asks(b.ID, 3, 2, ended, false)
	asks(b.ID, 0, 2, ended, false)
	asks(b.ID, b.Rows+1, 2, ended, false)
	asks(b.ID, 2, 3, ended, false)
	asks("other-00000000", 2, 2, ended, false)
	asks(b.ID, 3, 2, cancelled, false)
	if _, err := h.control.Cancel(t.Context(), b.ID); err != nil {
		t.Fatal(err)
	}
	h.finish(b.ID)
	if _, err := h.control.Amend(t.Context(), b.ID, 0); err != nil {
		t.Fatal(err)
	}
	asks(b.ID, 3, 2, cancelled, true)
	asks(b.ID, 3, 3, cancelled, false)
	asks(b.ID, 3, 2, lost, false)
	asks(b.ID, 3, 2, ended, false)
}
