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

func TestReconcileGivesEveryOpenRecordItsTaskAfterAWipe(t *testing.T) {
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
		r := newFakeRedis()
		s := w.sweeper(nil, r)
		fed := 0
		s.EnsureFeeds = func(context.Context) error { fed++; return nil }
		found, err := s.Reconcile(t.Context())
		if err != nil || found != (Reconciled{Records: 108, Open: 104, Enqueued: 104}) {
			t.Fatalf("%+v, %v", found, err)
		}
		for _, state := range states {
			if got := r.has(tasks.Passport, string(state)); got == state.Final() {
				t.Errorf("%s: in the open set is %t", state, got)
			}
		}
		if got := r.queued(); len(got) != 104 || slices.Contains(got, "passport valid") {
			t.Errorf("%d tasks: %v", len(got), got)
		}
		if again, err := s.Reconcile(t.Context()); err != nil || again != (Reconciled{Records: 108, Open: 104}) {
			t.Errorf("the second time: %+v, %v", again, err)
		}
		if fed != 2 || len(w.vendor.calls) != 0 {
			t.Errorf("%d looks for feed tasks, %d calls", fed, len(w.vendor.calls))
		}
	})
}

func TestJobsContinueAfterAWipeAndAreNotPaidTwice(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		done := w.payload(tasks.Passport, "done")
		if v := p.Process(t.Context(), done); v.Decision != Final {
			t.Fatalf("%+v", v)
		}
		w.putJob(tasks.Passport, "open", storage.StateQueued)
		r := newFakeRedis()
		if err := w.sweeper(p, r).Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.queued(); !slices.Equal(got, []string{"passport open"}) {
			t.Fatalf("tasks: %v", got)
		}
		rec, _, err := w.s3.Record(t.Context(), tasks.Passport, "open")
		if err != nil {
			t.Fatal(err)
		}
		for _, job := range []tasks.JobSpec{rec.JobSpec, done} {
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

func TestARebuildIsRepeatedIfRedisIsWipedMeanwhile(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		w.putJob(tasks.Passport, "A", storage.StateQueued)
		r := newFakeRedis()
		r.wipe = r.lose
		s := w.sweeper(p, r)
		if err := s.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		if lost, _ := r.Lost(t.Context()); !lost || r.has(tasks.Passport, "A") {
			t.Fatal("the wipe came too late for the test to prove anything")
		}
		if err := s.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		if lost, _ := r.Lost(t.Context()); lost || !r.has(tasks.Passport, "A") || len(r.queued()) != 1 {
			t.Errorf("lost %t, tasks %v", lost, r.queued())
		}
		r.tasks = map[string]bool{}
		if err := s.Once(t.Context()); err != nil || len(r.queued()) != 0 {
			t.Errorf("Redis was rebuilt again: %v, %v", r.queued(), err)
		}
	})
}

// The answer is paid for and in the record: the job needs no permit, and a hold does not matter.
func TestASweepDeliversAnAnsweredRecordWithoutAGate(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		w.vendor.fetched = []error{errInjected}
		job := w.payload(tasks.Aadhaar, "A")
		if v := p.Process(t.Context(), job); v.Decision != Later {
			t.Fatalf("%+v", v)
		}
		wantState(t, w, tasks.Aadhaar, "A", storage.StateAnswered, "")
		w.gate.held = &hold.Hold{Code: "insufficient_balance"}
		r := newFakeRedis()
		r.epoch = "done"
		if err := r.AddAll(t.Context(), "aadhaar", []string{"A"}, time.Now()); err != nil {
			t.Fatal(err)
		}
		s := w.sweeper(p, r)
		if err := s.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantState(t, w, tasks.Aadhaar, "A", storage.StateAnswered, "") // it was checked just now
		time.Sleep(sweepAfter + time.Second)
		if err := s.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantState(t, w, tasks.Aadhaar, "A", storage.StateValid, "")
		if len(w.vendor.calls) != 1 || len(w.gate.outcomes) != 1 || len(r.queued()) != 0 {
			t.Errorf("%d calls, %d passes, tasks %v", len(w.vendor.calls), len(w.gate.outcomes), r.queued())
		}
		if len(w.s3.inbox) != 0 || !w.hints.closed["aadhaarA"] {
			t.Error("the tail was skipped")
		}
	})
}

func TestASweepRepeatsTheTailOfAFinalRecord(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		w.putJob(tasks.Aadhaar, "A", storage.StateValid) // its worker crashed before the tail
		r := overdue(t, tasks.Aadhaar, "A")
		if err := w.sweeper(p, r).Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		rec := w.record(tasks.Aadhaar, "A")
		if len(w.s3.inbox) != 0 || rec.UploadDeletedAt.IsZero() || !w.hints.closed["aadhaarA"] || len(r.queued()) != 0 {
			t.Errorf("inbox %d, deleted at %v, closed %v, tasks %v", len(w.s3.inbox), rec.UploadDeletedAt, w.hints.closed, r.queued())
		}
	})
}

// overdue returns a Redis whose open set holds jobs that were last checked long ago.
func overdue(t *testing.T, kind tasks.Kind, ids ...string) *fakeRedis {
	t.Helper()
	r := newFakeRedis()
	r.epoch = "done"
	if err := r.AddAll(t.Context(), string(kind), ids, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestASweepEnqueuesJobsWithoutATaskAndChecksAgainLater(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		w.putJob(tasks.Passport, "A", storage.StateWaiting)
		r := overdue(t, tasks.Passport, "A", "no-record")
		s := w.sweeper(p, r)
		if err := s.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.queued(); !slices.Equal(got, []string{"passport A"}) {
			t.Fatalf("tasks: %v", got)
		}
		r.tasks = map[string]bool{}
		if err := s.Once(t.Context()); err != nil || len(r.queued()) != 0 {
			t.Errorf("a job was enqueued right after its check: %v, %v", r.queued(), err)
		}
		time.Sleep(sweepAfter + time.Second)
		if err := s.Once(t.Context()); err != nil || !slices.Equal(r.queued(), []string{"passport A"}) {
			t.Errorf("the job was not enqueued again: %v, %v", r.queued(), err)
		}
		if !r.has(tasks.Passport, "no-record") {
			t.Error("a row before its first delivery was removed from the open set")
		}
	})
}

func TestASweepSkipsAnUnreadableRecord(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"unreadable":  {storage.ErrVersion, true},
		"unreachable": {storage.ErrUnreachable, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
				w.putJob(tasks.Passport, "A", storage.StateQueued)
				s := w.sweeper(p, overdue(t, tasks.Passport, "odd", "A"))
				s.Records = &oddRecords{fakeS3: w.s3, err: tc.err}
				err := s.Once(t.Context())
				if tc.want != (err == nil) || !tc.want && !errors.Is(err, tc.err) {
					t.Errorf("the sweep returned %v", err)
				}
				if got := s.OpenSet.(*fakeRedis).queued(); tc.want && !slices.Equal(got, []string{"passport A"}) {
					t.Errorf("tasks: %v", got)
				}
			})
		})
	}
}

func TestASweepReachesEveryJobBehindUnreadableRecords(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		w.putJob(tasks.Passport, "A", storage.StateQueued)
		ids := make([]string, sweepLimit+1)
		for i := range ids {
			ids[i] = fmt.Sprintf("odd%d", i)
		}
		r := overdue(t, tasks.Passport, ids...)
		if err := r.AddAll(t.Context(), "passport", []string{"A"}, time.Now().Add(-30*time.Minute)); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		s := w.sweeper(p, r)
		s.Records, s.Log = &oddRecords{fakeS3: w.s3, err: storage.ErrVersion}, zerolog.New(&log)
		for range 2 {
			if err := s.Once(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(SweepEvery)
		}
		if got := r.queued(); !slices.Equal(got, []string{"passport A"}) {
			t.Errorf("tasks: %v", got)
		}
		for _, id := range ids {
			if !r.has(tasks.Passport, id) {
				t.Fatalf("%s is not in the open set any more", id)
			}
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 2 || !strings.Contains(lines[0], `"count":1000`) || !strings.Contains(lines[1], `"count":1,`) {
			t.Errorf("%d log lines, the first %s", len(lines), lines[0])
		}
	})
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
		r := overdue(t, tasks.Passport, "A")
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
		r.epoch = "done"
		bad, good := w.answered(t, "bad"), w.answered(t, "good")
		w.putJob(tasks.Passport, "queued", storage.StateQueued)
		_ = r.AddAll(t.Context(), "aadhaar", []string{bad.VerificationID, good.VerificationID}, time.Now())
		_ = r.AddAll(t.Context(), "passport", []string{"queued"}, time.Now())
		time.Sleep(time.Hour)
		var log bytes.Buffer
		check := p.CheckMask
		p.CheckMask = func(ctx context.Context, masked []byte, source maskcheck.SourceInfo) (maskcheck.Report, error) {
			if source.SHA256 == "bad" {
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
			time.Sleep(sweepAfter + time.Minute)
		}
		wantState(t, w, tasks.Aadhaar, "good", storage.StateValid, "")
		wantState(t, w, tasks.Aadhaar, "bad", storage.StateAnswered, "")
		if !r.has(tasks.Aadhaar, "bad") || len(r.queued()) != 1 {
			t.Errorf("the job left the open set, or another one got no task: %v", r.queued())
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
	if rec.Sealed, err = sealAnswer(w.keyset, id, newAnswer(job, at, validReply(), maskcheck.SourceInfo{SHA256: id})); err != nil {
		t.Fatal(err)
	}
	if _, err := w.s3.CreateRecord(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	return rec
}
