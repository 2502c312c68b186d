package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func TestReconcileGivesEveryOpenRecordItsMarkerAndItsTask(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		states := []storage.State{
			storage.StateQueued, storage.StateWaiting, storage.StateSent, storage.StateAnswered,
			storage.StateValid, storage.StateInvalid, storage.StateFailed, storage.StateCancelled,
		}
		for _, state := range states {
			w.putJob(tasks.Passport, string(state), state)
		}
		for i := range 100 { // more than are read in parallel
			w.putJob(tasks.Aadhaar, fmt.Sprintf("A%03d", i), storage.StateQueued)
		}
		row := w.payload(tasks.Passport, "row")
		row.Batch, row.Row = "b-00000000", 1
		w.putRecord(t, row, storage.StateWaiting)
		clear(w.s3.markers) // an earlier version wrote the records
		w.s3.complete = false
		r := newFakeRedis()
		s := w.sweeper(nil, r)
		marked, fed := 0, 0
		s.MarkBatches = func(context.Context) error { marked++; return nil }
		s.EnsureFeeds = func(context.Context) error { fed++; return nil }
		found, err := s.Reconcile(t.Context())
		if err != nil || found != (Reconciled{Records: 109, Open: 105, Enqueued: 105}) {
			t.Fatalf("%+v, %v", found, err)
		}
		for _, state := range states {
			if got := w.s3.marked(tasks.Passport, string(state)); got == state.Final() {
				t.Errorf("%s: has a marker is %t", state, got)
			}
		}
		if w.s3.marked(tasks.Passport, "row") {
			t.Error("the row of a batch has a marker")
		}
		if got := r.queued(); len(got) != 105 || slices.Contains(got, "passport-live valid") {
			t.Errorf("%d tasks: %v", len(got), got)
		}
		if again, err := s.Reconcile(t.Context()); err != nil || again != (Reconciled{Records: 109, Open: 105}) {
			t.Errorf("the second time: %+v, %v", again, err)
		}
		if marked != 2 || fed != 2 || !w.s3.complete || len(w.vendor.calls) != 0 {
			t.Errorf("%d looks for batches, %d for feed tasks, complete %t, %d calls", marked, fed, w.s3.complete, len(w.vendor.calls))
		}
	})
}

func TestTheLeaderReconcilesOnceIfMarkersMayBeMissing(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		w.putJob(tasks.Passport, "A", storage.StateQueued)
		clear(w.s3.markers)
		w.s3.complete = false
		r := newFakeRedis()
		s := w.sweeper(p, r)
		for range 2 {
			if err := s.Once(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !w.s3.complete {
				t.Fatal("not complete")
			}
		}
		if !w.s3.marked(tasks.Passport, "A") || len(r.queued()) != 1 {
			t.Errorf("markers %v, tasks %v", w.s3.markers, r.queued())
		}
		w.putJob(tasks.Passport, "B", storage.StateQueued)
		delete(w.s3.markers, storage.OpenRun{Kind: tasks.Passport, Lane: tasks.Live, VerificationID: "B", Run: 1})
		if err := w.sweeper(p, r).Once(t.Context()); err != nil || w.s3.marked(tasks.Passport, "B") {
			t.Errorf("another worker read all records again: %v", err)
		}
	})
}

// Redis comes back without the last tasks, or with none: it is enough that the markers are there.
func TestJobsContinueAfterAWipeAndAreNotPaidTwice(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		done := w.putJob(tasks.Passport, "done", storage.StateQueued)
		if v := p.Process(t.Context(), done); v.Decision != Final {
			t.Fatalf("%+v", v)
		}
		open := w.putJob(tasks.Passport, "open", storage.StateWaiting)
		kept := w.putJob(tasks.Passport, "kept", storage.StateQueued)
		r := newFakeRedis()
		if _, err := r.Push(t.Context(), kept); err != nil {
			t.Fatal(err)
		}
		s := w.sweeper(p, r)
		var counted Counted
		s.Counted = func(_ context.Context, n Counted) error { counted = n; return nil }
		time.Sleep(time.Second) // the markers are this old
		if err := s.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.queued(); !slices.Equal(got, []string{"passport-live kept", "passport-live open"}) {
			t.Fatalf("tasks: %v", got)
		}
		if counted.Missing != 1 || counted.Open[tasks.Passport] != 2 || counted.Oldest["passport-live"] < time.Second || len(counted.Oldest) != 1 {
			t.Errorf("%+v", counted)
		}
		for _, job := range []tasks.JobSpec{open, done} {
			if v := p.Process(t.Context(), job); v.Decision != Final {
				t.Fatalf("%+v", v)
			}
		}
		wantState(t, w, tasks.Passport, "open", storage.StateValid, "")
		if len(w.vendor.calls) != 2 {
			t.Errorf("calls: %v", w.vendor.calls)
		}
	})
}

func TestAMissingTaskIsEnqueuedWithinMinutesAndARoundIsNotRepeatedEachMinute(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		w.putJob(tasks.Passport, "A", storage.StateQueued)
		r := newFakeRedis()
		s := w.sweeper(p, r)
		var log bytes.Buffer
		s.Log = zerolog.New(&log)
		rounds := 0
		s.Counted = func(context.Context, Counted) error { rounds++; return nil }
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
		defer cancel()
		go s.Run(ctx)
		for lost := range 5 {
			time.Sleep(100 * time.Second)
			r.lose()
			time.Sleep(roundEvery + time.Second)
			if len(r.queued()) != 1 {
				t.Errorf("%d: no task", lost)
			}
		}
		<-ctx.Done()
		if rounds < 9 || rounds > 10 {
			t.Errorf("%d rounds in half an hour", rounds)
		}
		if n := strings.Count(log.String(), "no task"); n != 6 {
			t.Errorf("%d lines about missing tasks:\n%s", n, log.String())
		}
		time.Sleep(time.Second) // Run resigns
	})
}

// The answer is paid for and in the record: the job needs no permit, and a hold does not matter. Its link expires.
func TestASweepDeliversAnAnsweredRecordWithoutAGate(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		for _, paused := range []bool{false, true} {
			id := fmt.Sprint(paused)
			w.vendor.fetched = []error{errInjected}
			w.gate.resume()
			job := w.putJob(tasks.Aadhaar, id, storage.StateQueued)
			if v := p.Process(t.Context(), job); v.Decision != Later {
				t.Fatalf("%+v", v)
			}
			wantState(t, w, tasks.Aadhaar, id, storage.StateAnswered, "")
			w.gate.held = &hold.Hold{Code: "insufficient_balance"}
			r := newFakeRedis()
			if r.paused = paused; paused {
				_, _ = r.Push(t.Context(), job) // and is not delivered
			}
			clear(w.gate.unstored) // as when Redis has lost data
			if err := w.sweeper(p, r).Once(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantState(t, w, tasks.Aadhaar, id, storage.StateValid, "")
			if len(w.s3.inbox) != 0 || w.s3.marked(tasks.Aadhaar, id) {
				t.Error("the tail was skipped")
			}
		}
		if len(w.vendor.calls) != 2 || len(w.gate.outcomes) != 2 {
			t.Errorf("%d calls, %d permits", len(w.vendor.calls), len(w.gate.outcomes))
		}
	})
}

func TestASweepRepeatsTheTailOfAFinalRecord(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		w.putJob(tasks.Aadhaar, "A", storage.StateValid) // its worker crashed before the tail
		r := newFakeRedis()
		if err := w.sweeper(p, r).Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		rec := w.record(tasks.Aadhaar, "A")
		if len(w.s3.inbox) != 0 || rec.UploadDeletedAt.IsZero() || w.s3.marked(tasks.Aadhaar, "A") || len(r.queued()) != 0 {
			t.Errorf("inbox %d, deleted at %v, markers %v, tasks %v", len(w.s3.inbox), rec.UploadDeletedAt, w.s3.markers, r.queued())
		}
	})
}

func TestAMarkerThatNamesNoOpenRunIsDeletedInTime(t *testing.T) {
	t.Parallel()
	live := func(id string, run int) storage.OpenRun {
		return storage.OpenRun{Kind: tasks.Passport, Lane: tasks.Live, VerificationID: id, Run: run}
	}
	bulk := live("A", 1)
	bulk.Lane = tasks.Bulk
	for name, c := range map[string]struct {
		run         storage.OpenRun
		atOnce, end bool
	}{
		"no record":           {live("none", 1), false, true},
		"the next run":        {live("A", 2), false, true},
		"another lane":        {bulk, false, true},
		"an earlier run":      {live("second", 1), true, true},
		"the open run":        {live("A", 1), false, false},
		"the open second run": {live("second", 2), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
				w.putJob(tasks.Passport, "A", storage.StateQueued)
				second := w.payload(tasks.Passport, "second")
				second.Run = 2
				w.putRecord(t, second, storage.StateQueued)
				w.s3.markers[c.run] = time.Now()
				s := w.sweeper(p, newFakeRedis())
				for _, wait := range []time.Duration{time.Hour, storage.MarkerLife} {
					time.Sleep(wait)
					if err := s.Once(t.Context()); err != nil {
						t.Fatal(err)
					}
					_, got := w.s3.markers[c.run]
					if want := !c.end || !c.atOnce && wait < storage.MarkerLife; got != want {
						t.Errorf("after %v: the marker is there: %t", wait, got)
					}
				}
			})
		})
	}
}

// A damaged record, one of a newer version and one that the store does not return stand before no other.
func TestARoundReachesEveryJobBehindUnreadableRecords(t *testing.T) {
	t.Parallel()
	for _, fault := range []error{storage.ErrVersion, storage.ErrUnreachable, errInjected} {
		withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
			const bad = sweepChunk + 1
			for i := range bad {
				w.s3.markers[storage.OpenRun{Kind: tasks.Passport, Lane: tasks.Live, VerificationID: fmt.Sprintf("odd%d", i), Run: 1}] = time.Now()
			}
			w.putJob(tasks.Passport, "A", storage.StateQueued)
			w.putJob(tasks.Aadhaar, "A", storage.StateQueued)
			r := newFakeRedis()
			s := w.sweeper(p, r)
			var log bytes.Buffer
			s.Ledger, s.Log = &oddRecords{fakeS3: w.s3, err: fault}, zerolog.New(&log)
			if err := s.Once(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := r.queued(); !slices.Equal(got, []string{"aadhaar-live A", "passport-live A"}) {
				t.Errorf("tasks: %v", got)
			}
			if len(w.s3.markers) != bad+2 {
				t.Errorf("%d markers", len(w.s3.markers))
			}
			if lines := strings.Count(log.String(), "skipped"); lines != 1 || !strings.Contains(log.String(), fmt.Sprintf(`"count":%d`, bad)) {
				t.Errorf("log: %s", log.String())
			}
		})
	}
}

// oddRecords cannot read the records of jobs whose ids start with "odd".
type oddRecords struct {
	*fakeS3
	err error
}

func (o *oddRecords) Record(ctx context.Context, k tasks.Kind, id string) (*storage.Record, storage.Version, error) {
	if strings.HasPrefix(id, "odd") {
		return nil, storage.Version{}, o.err
	}
	return o.fakeS3.Record(ctx, k, id)
}

func TestOnlyTheLeaderSweepsAndDoesTheOtherChores(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		w.putJob(tasks.Passport, "A", storage.StateQueued)
		r := newFakeRedis()
		r.taken = true
		s := w.sweeper(p, r)
		var rounds []string
		round := func(name string, err error) func(context.Context) error {
			return func(context.Context) error { rounds = append(rounds, name); return err }
		}
		s.SyncQueues, s.Housekeep, s.EnsureFeeds = round("mirror", errInjected), round("housekeep", nil), round("feeds", nil)
		if err := s.Once(t.Context()); err != nil || len(rounds) != 0 || len(r.queued()) != 0 {
			t.Fatalf("a worker that is not the leader did %v, %v: %v", rounds, r.queued(), err)
		}
		r.taken = false
		if err := s.Once(t.Context()); !errors.Is(err, errInjected) {
			t.Errorf("the error of one chore was swallowed: %v", err)
		}
		if !slices.Equal(rounds, []string{"mirror", "housekeep", "feeds"}) || len(r.queued()) != 1 {
			t.Errorf("rounds %v, tasks %v", rounds, r.queued())
		}
	})
}

func TestRunSweepsEachMinuteUntilItIsStopped(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		r := newFakeRedis()
		s := w.sweeper(p, r)
		rounds := 0
		s.Housekeep = func(context.Context) error { rounds++; return errInjected } // an error ends one sweep only
		ctx, cancel := context.WithTimeout(t.Context(), 10*SweepEvery-time.Second)
		defer cancel()
		s.Run(ctx)
		if rounds != 10 {
			t.Errorf("%d rounds in just under ten minutes, want 10", rounds)
		}
	})
}

func TestAPanicOnOneRecordEndsNeitherTheProcessNorTheSweep(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		r := newFakeRedis()
		w.s3.mark(w.answered(t, "bad").JobSpec)
		w.s3.mark(w.answered(t, "good").JobSpec)
		w.putJob(tasks.Passport, "queued", storage.StateQueued)
		var log bytes.Buffer
		check := p.CheckMask
		p.CheckMask = func(ctx context.Context, masked []byte, source maskcheck.SourceInfo) (maskcheck.Report, error) {
			if source.Width == len("bad") {
				panic("SPECIMEN NAME")
			}
			return check(ctx, masked, source)
		}
		s := w.sweeper(p, r)
		s.Log = zerolog.New(&log)
		s.EnsureFeeds = func(context.Context) error { panic("SPECIMEN BATCH") }
		for range 3 {
			if err := s.Once(t.Context()); err != nil {
				t.Error(err)
			}
			time.Sleep(roundEvery)
		}
		wantState(t, w, tasks.Aadhaar, "good", storage.StateValid, "")
		wantState(t, w, tasks.Aadhaar, "bad", storage.StateAnswered, "")
		if !w.s3.marked(tasks.Aadhaar, "bad") || len(r.queued()) != 1 {
			t.Errorf("the job lost its marker, or another one got no task: %v", r.queued())
		}
		if text := log.String(); !strings.Contains(text, "bad") || strings.Contains(text, "SPECIMEN") {
			t.Errorf("log: %s", text)
		}
	})
}

// answered stores a record with the answer of an Aadhaar call.
func (w *world) answered(t *testing.T, id string) *storage.Record {
	t.Helper()
	job := w.payload(tasks.Aadhaar, id)
	at := storage.Attempt{Run: 1, ProviderID: id, SentAt: time.Now(), HTTPStatus: 200, Result: resultAnswered}
	rec := storage.NewRecord(job)
	rec.State, rec.Attempts = storage.StateAnswered, []storage.Attempt{at}
	var err error
	if rec.Sealed, err = sealAnswer(w.keyset, id, newAnswer(job, at, validReply(), maskcheck.SourceInfo{Width: len(id)})); err != nil {
		t.Fatal(err)
	}
	if _, err := w.s3.CreateRecord(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	return rec
}

// A second worker must not begin anew while a round is under way.
func TestTheLeadershipIsRenewedDuringARoundAndARoundEndsWithIt(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		r := newFakeRedis()
		s := w.sweeper(p, r)
		s.Housekeep = func(ctx context.Context) error {
			for range 10 {
				time.Sleep(LeadFor - time.Second)
				if n := r.renewals(); ctx.Err() != nil || n < 2 {
					t.Errorf("%v, %d renewals", ctx.Err(), n)
				}
			}
			r.mu.Lock()
			r.taken = true
			r.mu.Unlock()
			<-ctx.Done()
			return context.Cause(ctx)
		}
		began := time.Now()
		if err := s.Once(t.Context()); !errors.Is(err, errNotLeading) || time.Since(began) > 11*LeadFor {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// A late answer reopens a final record: a worker that is killed right after that write leaves a record that only its marker
// brings to an end.
func TestALateAnswerIsMarkedBeforeItReopensAFinalRecord(t *testing.T) {
	t.Parallel()
	for _, batch := range []string{"", "b-00000000"} {
		withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
			job := w.payload(tasks.Aadhaar, "A")
			job.Batch = batch
			at := sentAt(time.Hour)
			at.Result = resultUnknown
			rec := w.putRecord(t, job, storage.StateQueued, at)
			end(rec, storage.StateFailed, "answer_lost")
			if _, err := w.s3.SwapRecord(t.Context(), rec, storage.Version{ETag: "1"}); err != nil {
				t.Fatal(err)
			}
			w.keepAnswer(t, job, at)
			p.Records = &killer{fakeS3: w.s3, at: storage.StateAnswered}
			processOrCrash(t.Context(), p, job)
			wantState(t, w, tasks.Aadhaar, "A", storage.StateAnswered, "")
			next, err := NewProcessor(w.parts, Policy{})
			if err != nil {
				t.Fatal(err)
			}
			if err := w.sweeper(next, newFakeRedis()).Once(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantState(t, w, tasks.Aadhaar, "A", storage.StateValid, "")
			if len(w.s3.markers) != 0 || len(w.vendor.calls) != 0 {
				t.Errorf("markers %v, calls %v", w.s3.markers, w.vendor.calls)
			}
		})
	}
}

// killer kills its worker after the record was written in a state.
type killer struct {
	*fakeS3
	at storage.State
}

func (k *killer) SwapRecord(ctx context.Context, rec *storage.Record, was storage.Version) (storage.Version, error) {
	v, err := k.fakeS3.SwapRecord(ctx, rec, was)
	if err == nil && rec.State == k.at {
		panic(crashed{})
	}
	return v, err
}

// The tail of a lost answer deletes the marker that another worker has just put for the answer.
func TestATailThatRacesALateAnswerLeavesItsMarker(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		job := w.payload(tasks.Aadhaar, "A")
		at := sentAt(time.Hour)
		at.Result = resultUnknown
		rec := w.putRecord(t, job, storage.StateQueued, at)
		end(rec, storage.StateFailed, "answer_lost")
		if _, err := w.s3.SwapRecord(t.Context(), rec, storage.Version{ETag: "1"}); err != nil {
			t.Fatal(err)
		}
		p.Records = &reopener{fakeS3: w.s3}
		if v := p.Process(t.Context(), job); v.Decision != Final {
			t.Fatalf("%+v", v)
		}
		wantState(t, w, tasks.Aadhaar, "A", storage.StateAnswered, "answer_lost")
		if !w.s3.marked(tasks.Aadhaar, "A") {
			t.Error("an unfinished record has no marker")
		}
	})
}

// reopener reopens the record before a marker is deleted.
type reopener struct{ *fakeS3 }

func (r *reopener) UnmarkOpen(ctx context.Context, run storage.OpenRun) error {
	rec, v, err := r.Record(ctx, run.Kind, run.VerificationID)
	if err != nil {
		return err
	}
	_ = r.MarkOpen(ctx, run)
	rec.State = storage.StateAnswered
	if _, err := r.SwapRecord(ctx, rec, v); err != nil {
		return err
	}
	return r.fakeS3.UnmarkOpen(ctx, run)
}
