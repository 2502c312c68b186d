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

// standing puts a record into the store as some earlier worker left it.
func (w *world) standing(t *testing.T, job tasks.Payload, state storage.State, attempts ...storage.Attempt) *storage.Record {
	t.Helper()
	rec := storage.NewRecord(job.JobSpec)
	rec.State, rec.Attempts = state, attempts
	if _, err := w.s3.CreateRecord(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	return rec
}

// keep leaves a VALID answer to the attempt in Redis, as a worker without a way to S3 does.
func (w *world) keep(t *testing.T, job tasks.Payload, at storage.Attempt) {
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

func TestAKeptAnswerThatS3RefusesAgainGivesItsSlotBack(t *testing.T) {
	t.Parallel()
	calm(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		job := w.payload(tasks.Passport, "A")
		at := sentAt(time.Hour)
		w.standing(t, job, storage.StateSent, at)
		w.keep(t, job, at)
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
		calm(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
			job := w.payload(kind, "A")
			at := sentAt(time.Hour)
			w.keep(t, job, at)
			at.Result = resultUnknown
			w.standing(t, job, storage.StateWaiting, at)
			if v := p.Process(t.Context(), job); v.Decision != Final || len(w.vendor.calls) != 0 {
				t.Errorf("%+v, %d calls", v, len(w.vendor.calls))
			}
			wantState(t, w, kind, "A", storage.StateValid, "")
		})
	}
}

func TestAKeptAnswerWithoutItsKeyParksTheJobAndABrokenOneIsPassedOver(t *testing.T) {
	t.Parallel()
	calm(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		job := w.payload(tasks.Passport, "A")
		at := sentAt(time.Hour)
		w.standing(t, job, storage.StateSent, at)
		other, err := seal.Generate()
		if err != nil {
			t.Fatal(err)
		}
		own := w.keyset
		w.keyset = other
		w.keep(t, job, at)
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

func TestALostAnswerIsAskedForNoSoonerThanItsCallIsOver(t *testing.T) {
	t.Parallel()
	calm(t, Policy{CallTimeout: 30 * time.Second}, func(t *testing.T, w *world, p *Processor) {
		w.vendor.script = []*cashfree.Reply{reply(cashfree.Lost, 0)}
		began := time.Now()
		v := p.Process(t.Context(), w.payload(tasks.Passport, "A"))
		if again := time.Since(began) + v.After; v.Decision != Retry || again < 44*time.Second || again > 46*time.Second {
			t.Errorf("%+v, again after %s", v, again)
		}
	})
}

func TestAJobThatSpentItsAttemptsOnLostAnswersSaysThatOneMayBePaid(t *testing.T) {
	t.Parallel()
	for name, script := range map[string][]*cashfree.Reply{
		"the last":   {reply(cashfree.OtherStatus, 502), reply(cashfree.Lost, 0)},
		"an earlier": {reply(cashfree.Lost, 0), reply(cashfree.OtherStatus, 502)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calm(t, Policy{MaxAttempts: 2}, func(t *testing.T, w *world, p *Processor) {
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
	calm(t, Policy{ReissueLostAnswers: true, ReissuesPerDay: 2}, func(t *testing.T, w *world, p *Processor) {
		job := w.payload(tasks.Passport, "A")
		at := sentAt(time.Hour)
		at.Result = resultUnknown
		w.standing(t, job, storage.StateWaiting, at)
		w.vendor.used["A"] = true
		p.Records = &flakyRecords{fakeS3: w.s3, refuse: map[int]bool{2: true, 3: true, 4: true}}
		if v := p.Process(t.Context(), job); v.Decision != Final {
			t.Fatalf("%+v", v)
		}
		wantState(t, w, tasks.Passport, "A", storage.StateValid, "")
		if w.hints.reissues != 1 {
			t.Errorf("%d reissues were taken for one", w.hints.reissues)
		}
	})
}

// flakyRecords refuses the swaps of the given numbers, from 1.
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

// TestAnAnswerMayComeWhileTheImageIsStillRead is for the race detector: a vendor may answer before it has read everything.
func TestAnAnswerMayComeWhileTheImageIsStillRead(t *testing.T) {
	t.Parallel()
	calm(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
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
