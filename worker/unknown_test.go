package worker

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// putRecord stores the record of a job as an earlier worker left it.
func (w *world) putRecord(t *testing.T, job tasks.JobSpec, state storage.State, attempts ...storage.Attempt) *storage.Record {
	t.Helper()
	rec := storage.NewRecord(job)
	rec.State, rec.Attempts = state, attempts
	if _, err := w.s3.CreateRecord(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	return rec
}

// keepAnswer leaves a VALID answer to the attempt in Redis, like a worker that cannot reach S3.
func (w *world) keepAnswer(t *testing.T, job tasks.JobSpec, at storage.Attempt) {
	t.Helper()
	a := newAnswer(job, at, validReply(), maskcheck.SourceInfo{})
	sealed, err := sealAnswer(w.keyset, job.VerificationID, a)
	if err != nil {
		t.Fatal(err)
	}
	w.hints.kept[string(job.Kind)+job.VerificationID] = sealed
}

func sentAt(ago time.Duration) storage.Attempt {
	return storage.Attempt{Run: 1, ProviderID: "A", SentAt: time.Now().Add(-ago).UTC().Truncate(time.Millisecond), TimeoutMS: 30_000}
}

func TestAKeptAnswerThatS3RefusesAgainReturnsTheTask(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		job := w.payload(tasks.Passport, "A")
		at := sentAt(time.Hour)
		w.putRecord(t, job, storage.StateSent, at)
		w.keepAnswer(t, job, at)
		p.Records = &refusingRecords{fakeS3: w.s3}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		if v := p.Process(ctx, job); v.Decision != Later || time.Since(began) > time.Minute {
			t.Errorf("%+v after %s", v, time.Since(began))
		}
	})
}

func TestAKeptAnswerIsUsedAlthoughItsCallWasTakenOver(t *testing.T) {
	t.Parallel()
	for _, kind := range tasks.Kinds() {
		withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
			job := w.payload(kind, "A")
			at := sentAt(time.Hour)
			w.keepAnswer(t, job, at)
			at.Result = resultUnknown
			w.putRecord(t, job, storage.StateWaiting, at)
			if v := p.Process(t.Context(), job); v.Decision != Final || len(w.vendor.calls) != 0 {
				t.Errorf("%+v, %d calls", v, len(w.vendor.calls))
			}
			wantState(t, w, kind, "A", storage.StateValid, "")
		})
	}
}

func TestAKeptAnswerWaitsForItsKeyUnlessItIsBroken(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		job := w.payload(tasks.Passport, "A")
		at := sentAt(time.Hour)
		w.putRecord(t, job, storage.StateSent, at)
		other, err := seal.Generate()
		if err != nil {
			t.Fatal(err)
		}
		own := w.keyset
		w.keyset = other
		w.keepAnswer(t, job, at)
		w.keyset = own
		if v := p.Process(t.Context(), job); v.Decision != Later || v.Reason != "key_missing" || v.After != missingKeyDelay {
			t.Errorf("%+v", v)
		}
		w.hints.kept["passportA"] = "kq1.broken"
		if v := p.Process(t.Context(), job); v.Reason != "call_in_flight" {
			t.Errorf("%+v", v)
		}
		time.Sleep(time.Minute)
		if v := p.Process(t.Context(), job); v.Decision != Final {
			t.Errorf("%+v", v)
		}
	})
}

func TestALostAnswerIsRetriedOnlyAfterItsCallMustHaveEnded(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{CallTimeout: 30 * time.Second}, func(t *testing.T, w *world, p *Processor) {
		w.vendor.script = []*cashfree.Reply{reply(cashfree.Lost, 0)}
		began := time.Now()
		v := p.Process(t.Context(), w.payload(tasks.Passport, "A"))
		if again := time.Since(began) + v.After; v.Decision != Retry || again < 44*time.Second || again > 46*time.Second {
			t.Errorf("%+v, again after %s", v, again)
		}
	})
}

func TestAJobThatUsedUpItsAttemptsReportsALostAnswer(t *testing.T) {
	t.Parallel()
	for name, script := range map[string][]*cashfree.Reply{
		"the last":   {reply(cashfree.OtherStatus, 502), reply(cashfree.Lost, 0)},
		"an earlier": {reply(cashfree.Lost, 0), reply(cashfree.OtherStatus, 502)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{MaxAttempts: 2}, func(t *testing.T, w *world, p *Processor) {
				w.vendor.script = script
				job := w.payload(tasks.Passport, "A")
				time.Sleep(p.Process(t.Context(), job).After)
				p.Process(t.Context(), job)
				wantState(t, w, tasks.Passport, "A", storage.StateFailed, "answer_lost")
			})
		})
	}
}

func TestTheDaysReissuesAreNotSpentByTriesToWriteOneAnswer(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{ReissueLostAnswers: true, ReissuesPerDay: 2}, func(t *testing.T, w *world, p *Processor) {
		job := w.payload(tasks.Passport, "A")
		at := sentAt(time.Hour)
		at.Result = resultUnknown
		w.putRecord(t, job, storage.StateWaiting, at)
		w.vendor.used["A"] = true
		p.Records = &flakyRecords{fakeS3: w.s3, refuse: map[int]bool{2: true, 3: true, 4: true}}
		if v := p.Process(t.Context(), job); v.Decision != Final {
			t.Fatalf("%+v", v)
		}
		wantState(t, w, tasks.Passport, "A", storage.StateValid, "")
		if w.hints.reissues != 1 {
			t.Errorf("%d reissues were taken, want 1", w.hints.reissues)
		}
	})
}

// flakyRecords refuses the swaps with the given numbers, counted from 1.
type flakyRecords struct {
	*fakeS3
	refuse map[int]bool
	swaps  int
}

func (r *flakyRecords) SwapRecord(ctx context.Context, rec *storage.Record, was storage.Version) (storage.Version, error) {
	if r.swaps++; r.refuse[r.swaps] {
		return storage.Version{}, storage.ErrUnreachable
	}
	return r.fakeS3.SwapRecord(ctx, rec, was)
}

// This test is for the race detector: Cashfree may answer before it has read the whole request.
func TestAnAnswerMayComeWhileTheImageIsStillRead(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		p.Vendor = hastyVendor{w.vendor}
		p.Process(t.Context(), w.payload(tasks.Aadhaar, "A"))
		wantState(t, w, tasks.Aadhaar, "A", storage.StateFailed, "request_rejected")
	})
}

type hastyVendor struct{ *fakeVendor }

func (hastyVendor) MaskAadhaar(_ context.Context, r cashfree.MaskRequest) *cashfree.Reply {
	go func() { _, _ = io.Copy(io.Discard, r.Image) }()
	return reply(cashfree.Rejected, 400)
}
