package worker

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/internal/vendorid"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

var specimenPNG = func() []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 30, 20))); err != nil {
		panic(err)
	}
	return b.Bytes()
}()

var testKeyset = func() *seal.Keyset {
	k, err := seal.Generate()
	if err != nil {
		panic(err)
	}
	return k
}()

// withWorld runs a test in fake time, with fakes that inject no faults.
func withWorld(t *testing.T, policy Policy, test func(t *testing.T, w *world, p *Processor)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(&chaos{}, testKeyset)
		p, err := NewProcessor(w.parts, policy)
		if err != nil {
			t.Fatal(err)
		}
		test(t, w, p)
		p.Drain()
		if len(w.s3.unowed) > 0 {
			t.Errorf("runs ended without an event for webhooks: %q", w.s3.unowed)
		}
	})
}

func reply(class cashfree.Class, status int) *cashfree.Reply {
	return &cashfree.Reply{Class: class, HTTPStatus: status, Body: []byte("{}")}
}

func wantState(t *testing.T, w *world, kind tasks.Kind, id string, state storage.State, code string) *storage.Record {
	t.Helper()
	rec := w.record(kind, id)
	if rec == nil {
		t.Fatalf("%s has no record", id)
	}
	if rec.State != state || rec.Code != code {
		t.Fatalf("%s is %s %q, want %s %q", id, rec.State, rec.Code, state, code)
	}
	return rec
}

func TestAPassportIsCheckedOnceAndForAll(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		job := w.payload(tasks.Passport, "A")
		for range 3 {
			if v := p.Process(t.Context(), job); v.Decision != Final {
				t.Fatalf("%+v", v)
			}
		}
		rec := wantState(t, w, tasks.Passport, "A", storage.StateValid, "")
		if len(w.vendor.calls) != 1 || w.vendor.charges != 1 {
			t.Errorf("%d calls, %d charges", len(w.vendor.calls), w.vendor.charges)
		}
		if m := rec.Passport.Matches; m != (storage.Matches{Name: storage.MatchYes, DOB: storage.MatchYes, FileNumber: storage.MatchYes}) {
			t.Errorf("matches: %+v", m)
		}
		if rec.Passport.Name != "S******* P*****" || rec.Passport.FileNumber != "*********0001" || rec.ReferenceID != 7 || rec.CompletedAt.IsZero() {
			t.Errorf("%+v", rec.Passport)
		}
	})
}

func TestAnAadhaarEndsWithItsImageAndWithoutItsUpload(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		if v := p.Process(t.Context(), w.putJob(tasks.Aadhaar, "A", storage.StateQueued)); v.Decision != Final {
			t.Fatalf("%+v", v)
		}
		rec := wantState(t, w, tasks.Aadhaar, "A", storage.StateValid, "")
		m := rec.MaskedImage
		if m == nil || m.Key != "masked/A/1.png" || m.Bytes != 6 || m.SHA256 != sha256Hex([]byte("pixels")) || m.VendorSHA256 != sha256Hex([]byte("masked")) {
			t.Errorf("%+v", m)
		}
		if stored := w.s3.masked["masked/A/1.png"]; string(stored) != "pixels" {
			t.Errorf("stored %q, not what the check returned", stored)
		}
		if len(w.s3.inbox) != 0 || rec.UploadDeletedAt.IsZero() {
			t.Error("the unmasked upload was not deleted, or its deletion was not recorded")
		}
		if w.s3.marked(tasks.Aadhaar, "A") {
			t.Error("the job still has its marker")
		}
	})
}

func TestErrorsOf500And502AreRetriedUntilTheAttemptsAreSpent(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{MaxAttempts: 4}, func(t *testing.T, w *world, p *Processor) {
		for range 9 {
			w.vendor.script = append(w.vendor.script, reply(cashfree.OtherStatus, 502))
		}
		job := w.payload(tasks.Passport, "A")
		for i := range 3 {
			v := p.Process(t.Context(), job)
			if v.Decision != Retry || v.After <= 0 {
				t.Fatalf("delivery %d: %+v", i, v)
			}
			if again := p.Process(t.Context(), job); again.Decision != Later || len(w.vendor.calls) != i+1 {
				t.Fatalf("the job was called during its backoff: %+v, %d calls", again, len(w.vendor.calls))
			}
			time.Sleep(v.After)
		}
		if v := p.Process(t.Context(), job); v.Decision != Final {
			t.Fatalf("%+v", v)
		}
		rec := wantState(t, w, tasks.Passport, "A", storage.StateFailed, "provider_error")
		for _, id := range w.vendor.calls {
			if id != "A" {
				t.Errorf("called as %s", id)
			}
		}
		if len(w.vendor.calls) != 4 || rec.NextAction == "" {
			t.Errorf("%d calls, next action %q", len(w.vendor.calls), rec.NextAction)
		}
	})
}

func TestA429IsWaitedOutByTheSameDelivery(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{MaxAttempts: 1}, func(t *testing.T, w *world, p *Processor) {
		w.vendor.script = []*cashfree.Reply{reply(cashfree.RateLimited, 429), reply(cashfree.RateLimited, 429)}
		if v := p.Process(t.Context(), w.payload(tasks.Passport, "A")); v.Decision != Final {
			t.Fatalf("%+v", v)
		}
		rec := wantState(t, w, tasks.Passport, "A", storage.StateValid, "")
		if len(rec.Attempts) != 3 || rec.Attempts[0].Counted || rec.Attempts[1].Result != resultLimited {
			t.Errorf("%+v", rec.Attempts)
		}
		if w.gate.outcomes[0] != gate.Limited || w.gate.outcomes[2] != gate.Answered {
			t.Errorf("outcomes: %v", w.gate.outcomes)
		}
	})
}

func TestARefusedAccountHoldsTheFleetAndHarmsNoJob(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{MaxAttempts: 1}, func(t *testing.T, w *world, p *Processor) {
		w.vendor.script = []*cashfree.Reply{{Class: cashfree.NoBalance, HTTPStatus: 422, Message: "the balance is too low", NextAction: "top up"}}
		job := w.payload(tasks.Passport, "A")
		if v := p.Process(t.Context(), job); v.Decision != Later {
			t.Fatalf("%+v", v)
		}
		if w.gate.held == nil || w.gate.held.Code != "insufficient_balance" || w.gate.held.NextAction == "" {
			t.Fatalf("hold: %+v", w.gate.held)
		}
		for range 5 {
			if v := p.Process(t.Context(), job); v.Decision != Later || len(w.vendor.calls) != 1 {
				t.Fatalf("%+v, %d calls", v, len(w.vendor.calls))
			}
		}
		w.gate.held = nil
		if v := p.Process(t.Context(), job); v.Decision != Final {
			t.Fatalf("%+v", v)
		}
		wantState(t, w, tasks.Passport, "A", storage.StateValid, "")
	})
}

func TestALostAnswerIsForAPersonUnlessThePolicySaysReissue(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]Policy{"review": {}, "reissue": {ReissueLostAnswers: true, ReissuesPerDay: 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withWorld(t, policy, func(t *testing.T, w *world, p *Processor) {
				w.vendor.script = []*cashfree.Reply{reply(cashfree.Lost, 0)}
				w.vendor.used["A"] = false
				job := w.payload(tasks.Passport, "A")
				v := p.Process(t.Context(), job)
				w.vendor.used["A"] = true // Cashfree had received and charged it
				w.vendor.charges++
				time.Sleep(v.After)
				if v = p.Process(t.Context(), job); v.Decision != Final {
					t.Fatalf("%+v", v)
				}
				if !policy.ReissueLostAnswers {
					wantState(t, w, tasks.Passport, "A", storage.StateFailed, "answer_lost")
					if w.vendor.charges != 1 {
						t.Errorf("%d charges", w.vendor.charges)
					}
					return
				}
				rec := wantState(t, w, tasks.Passport, "A", storage.StateValid, "")
				last := rec.Attempts[len(rec.Attempts)-1]
				if !last.Reissue || last.ProviderID != vendorid.Derive("passport", "A", 1) || w.vendor.charges != 2 {
					t.Errorf("%+v, %d charges", last, w.vendor.charges)
				}
			})
		})
	}
}

func TestAConsumedIDDoesNotTellTheGateThatTheVendorWorks(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		w.vendor.script = []*cashfree.Reply{reply(cashfree.OtherStatus, http.StatusBadGateway)}
		job := w.payload(tasks.Passport, "A")
		v := p.Process(t.Context(), job)
		w.vendor.used["A"] = true // by the failed call
		time.Sleep(v.After)
		p.Process(t.Context(), job)
		wantState(t, w, tasks.Passport, "A", storage.StateValid, "")
		if want := []gate.OutcomeKind{gate.Failed, gate.Duplicate, gate.Answered}; !slices.Equal(w.gate.outcomes, want) {
			t.Errorf("outcomes %v, want %v", w.gate.outcomes, want)
		}
	})
}

func TestASentRecordBelongsToItsOwnerUntilTheTakeoverAge(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{CallTimeout: 30 * time.Second}, func(t *testing.T, w *world, p *Processor) {
		job := w.payload(tasks.Passport, "A")
		rec := storage.NewRecord(job)
		rec.State = storage.StateSent
		rec.Attempts = []storage.Attempt{{Run: 1, ProviderID: "A", SentAt: time.Now(), TimeoutMS: 30_000}}
		if _, err := w.s3.CreateRecord(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
		v := p.Process(t.Context(), job)
		if v.Decision != Later || v.After > 45*time.Second || v.After < 44*time.Second || len(w.vendor.calls) != 0 {
			t.Fatalf("%+v, %d calls", v, len(w.vendor.calls))
		}
		time.Sleep(v.After)
		if v := p.Process(t.Context(), job); v.Decision != Final {
			t.Fatalf("%+v", v)
		}
		got := wantState(t, w, tasks.Passport, "A", storage.StateValid, "")
		if got.Attempts[0].Result != resultUnknown || got.Attempts[0].Counted || got.Attempts[1].ProviderID != "A" {
			t.Errorf("%+v", got.Attempts)
		}
	})
}

func TestAnAnswerThatS3RefusesIsKeptAndNeverBoughtAgain(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		job := w.payload(tasks.Passport, "A")
		broken := &refusingRecords{fakeS3: w.s3, refuseAfter: 1}
		p.Records = broken
		if v := p.Process(t.Context(), job); v.Decision != Later {
			t.Fatalf("%+v", v)
		}
		wantState(t, w, tasks.Passport, "A", storage.StateSent, "")
		if len(w.hints.kept) != 1 {
			t.Fatal("the answer is not kept")
		}
		p.Records = w.s3
		if v := p.Process(t.Context(), job); v.Decision != Final {
			t.Fatalf("%+v", v)
		}
		wantState(t, w, tasks.Passport, "A", storage.StateValid, "")
		if len(w.vendor.calls) != 1 || len(w.hints.kept) != 0 {
			t.Errorf("%d calls, %d kept", len(w.vendor.calls), len(w.hints.kept))
		}
	})
}

// refusingRecords refuses all writes after the first refuseAfter.
type refusingRecords struct {
	*fakeS3
	refuseAfter int
}

func (r *refusingRecords) CreateRecord(ctx context.Context, rec *storage.Record) (storage.Version, error) {
	if r.refuseAfter--; r.refuseAfter < 0 {
		return storage.Version{}, storage.ErrUnreachable
	}
	return r.fakeS3.CreateRecord(ctx, rec)
}

func (r *refusingRecords) SwapRecord(ctx context.Context, rec *storage.Record, was storage.Version) (storage.Version, error) {
	if r.refuseAfter--; r.refuseAfter < 0 {
		return storage.Version{}, storage.ErrUnreachable
	}
	return r.fakeS3.SwapRecord(ctx, rec, was)
}

func TestNoCallLeavesWithoutItsIntentOrAfterTheLeaseIsGone(t *testing.T) {
	t.Parallel()
	t.Run("S3 is down", func(t *testing.T) {
		t.Parallel()
		withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
			p.Records = &refusingRecords{fakeS3: w.s3}
			if v := p.Process(t.Context(), w.payload(tasks.Passport, "A")); v.Decision != Later || len(w.vendor.calls) != 0 {
				t.Errorf("%+v, %d calls", v, len(w.vendor.calls))
			}
		})
	})
	t.Run("the lease is gone", func(t *testing.T) {
		t.Parallel()
		withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
			ctx, cancel := context.WithCancel(t.Context())
			p.Records = &leaseLoser{fakeS3: w.s3, lose: cancel}
			job := w.payload(tasks.Passport, "A")
			if v := p.Process(ctx, job); v.Decision != Later || len(w.vendor.calls) != 0 {
				t.Fatalf("%+v, %d calls", v, len(w.vendor.calls))
			}
			wantState(t, w, tasks.Passport, "A", storage.StateWaiting, "")
			p.Records = w.s3
			if v := p.Process(t.Context(), job); v.Decision != Final || w.vendor.calls[0] != "A" {
				t.Fatalf("%+v, %v", v, w.vendor.calls)
			}
		})
	})
}

func TestALostLeaseCutsNeitherAPaidCallNorTheWriteOfItsAnswer(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		ctx, lose := context.WithCancel(t.Context())
		w.vendor.arrived = lose
		p.Process(ctx, w.payload(tasks.Passport, "A"))
		wantState(t, w, tasks.Passport, "A", storage.StateValid, "")
	})
}

// leaseLoser ends the context while the intent is written.
type leaseLoser struct {
	*fakeS3
	lose func()
}

func (l *leaseLoser) CreateRecord(ctx context.Context, rec *storage.Record) (storage.Version, error) {
	v, err := l.fakeS3.CreateRecord(ctx, rec)
	l.lose()
	return v, err
}

func TestAnAnswerIsComparedWithTheImageThatWasSent(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(w *world){
		"as it was": func(*world) {},
		"deleted":   func(w *world) { delete(w.s3.inbox, "single/A") },
		"replaced":  func(w *world) { w.s3.inbox["single/A"] = []byte("another image") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
				compared := 0
				p.CheckMask = func(ctx context.Context, masked []byte, source maskcheck.SourceInfo) (maskcheck.Report, error) {
					if !bytes.Equal(source.Body, specimenPNG) || string(masked) != "masked" {
						t.Errorf("%q is compared with %q", masked, source.Body)
					}
					compared++
					return checkAlwaysSafe(ctx, masked, source)
				}
				image := &tasks.Image{Bucket: "kycq-inbox", Key: "single/A", Uploaded: true, SHA256: sha256Hex(specimenPNG)}
				job := w.sealed(tasks.Aadhaar, "A", tasks.Input{Image: image})
				w.s3.inbox["single/A"] = specimenPNG
				w.vendor.arrived = func() { change(w) }
				p.Process(t.Context(), job)
				if name == "as it was" {
					wantState(t, w, tasks.Aadhaar, "A", storage.StateValid, "")
					return
				}
				rec := wantState(t, w, tasks.Aadhaar, "A", storage.StateFailed, "unsafe_mask")
				if rec.Review != string(maskcheck.SourceGone) || compared != 0 || len(w.s3.masked) != 0 || len(w.vendor.calls) != 1 {
					t.Errorf("review %q, %d comparisons, %d stored, %d calls", rec.Review, compared, len(w.s3.masked), len(w.vendor.calls))
				}
			})
		})
	}
}

func TestAnUnsafeMaskIsQuarantinedAndNeverStoredAsMasked(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{QRCheck: "readable"}, func(t *testing.T, w *world, p *Processor) {
		p.CheckMask = func(context.Context, []byte, maskcheck.SourceInfo) (maskcheck.Report, error) {
			return maskcheck.Report{}, &maskcheck.UnsafeError{Code: maskcheck.VisibleQR}
		}
		p.Process(t.Context(), w.payload(tasks.Aadhaar, "A"))
		wantState(t, w, tasks.Aadhaar, "A", storage.StateFailed, "unsafe_mask")
		if rec, _, _ := w.s3.Record(t.Context(), tasks.Aadhaar, "A"); rec.QRCheck != "readable" {
			t.Errorf("the record says %q", rec.QRCheck)
		}
		if len(w.s3.masked) != 0 || len(w.s3.quar) != 1 || len(w.vendor.calls) != 1 {
			t.Errorf("masked %d, quarantined %d, calls %d", len(w.s3.masked), len(w.s3.quar), len(w.vendor.calls))
		}
	})
}

func TestAJobThatCrashesItsWorkersEndsAsACrashLoop(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		crashes := 0
		p.CheckMask = func(context.Context, []byte, maskcheck.SourceInfo) (maskcheck.Report, error) {
			crashes++
			panic(crashed{})
		}
		job := w.payload(tasks.Aadhaar, "A")
		for range 20 {
			if processOrCrash(t.Context(), p, job) == Final {
				break
			}
		}
		wantState(t, w, tasks.Aadhaar, "A", storage.StateFailed, "worker_crash_loop")
		if crashes != maxCrashes || len(w.vendor.calls) != 1 {
			t.Errorf("%d crashes, %d calls", crashes, len(w.vendor.calls))
		}
	})
}

// processOrCrash delivers a job. The decision is empty if the worker crashed.
func processOrCrash(ctx context.Context, p *Processor, job tasks.JobSpec) (d Decision) {
	crash(func() { d = p.Process(ctx, job).Decision })
	return d
}

// crash calls do, which a fake may end.
func crash(do func()) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(crashed); !ok {
				panic(r)
			}
		}
	}()
	do()
}

func TestAnotherInputUnderTheSameIDCallsNothing(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		p.Process(t.Context(), w.payload(tasks.Passport, "A"))
		other := w.payload(tasks.Passport, "A")
		other.Fingerprint = "another"
		if v := p.Process(t.Context(), other); v.Decision != Final || v.Reason != "different_input" || len(w.vendor.calls) != 1 {
			t.Errorf("%+v, %d calls", v, len(w.vendor.calls))
		}
	})
}

func TestAnotherInputUnderTheIDOfAnUnfinishedJobCallsNothing(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		batches := &fakeBatches{}
		p.Batches = batches
		other := w.putJob(tasks.Passport, "A", storage.StateQueued)
		other.Fingerprint, other.Batch, other.Row = "another", "b-1", 3
		if v := p.Process(t.Context(), other); v.Decision != Final || v.Reason != "different_input" || len(w.vendor.calls) != 0 {
			t.Errorf("%+v, %d calls", v, len(w.vendor.calls))
		}
		wantState(t, w, tasks.Passport, "A", storage.StateQueued, "")
		if !slices.Equal(batches.conflicts, []int{3}) {
			t.Errorf("rows reported to the batch: %v", batches.conflicts)
		}
	})
}

func TestAFurtherRunStartsUnderADerivedID(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		w.vendor.script = []*cashfree.Reply{reply(cashfree.Rejected, 400)}
		job := w.payload(tasks.Passport, "A")
		p.Process(t.Context(), job)
		wantState(t, w, tasks.Passport, "A", storage.StateFailed, "request_rejected")
		second := job
		second.Run, second.Batch, p.Batches = 2, "b-1", &fakeBatches{asked: 2}
		if v := p.Process(t.Context(), second); v.Decision != Final {
			t.Fatalf("%+v", v)
		}
		rec := wantState(t, w, tasks.Passport, "A", storage.StateValid, "")
		if rec.Run != 2 || w.vendor.calls[1] != vendorid.Derive("passport", "A", 1) {
			t.Errorf("run %d, calls %v", rec.Run, w.vendor.calls)
		}
		if v := p.Process(t.Context(), job); v.Decision != Final || v.Reason != "superseded" {
			t.Errorf("the first run's task: %+v", v)
		}
	})
}

func TestAMissingKeyParksTheJobAndFailsNothing(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		other, err := seal.Generate()
		if err != nil {
			t.Fatal(err)
		}
		p.Keyset = other
		if v := p.Process(t.Context(), w.payload(tasks.Passport, "ROW")); v.Reason != "key_missing" || w.record(tasks.Passport, "ROW") != nil {
			t.Errorf("a row without a record: %+v", v)
		}
		job := w.putJob(tasks.Passport, "A", storage.StateQueued)
		if v := p.Process(t.Context(), job); v.Decision != Later || v.Reason != "key_missing" {
			t.Fatalf("%+v", v)
		}
		if rec := wantState(t, w, tasks.Passport, "A", storage.StateWaiting, ""); rec.Reason != "key_missing" {
			t.Errorf("reason %q", rec.Reason)
		}
		p.Keyset = w.keyset
		if v := p.Process(t.Context(), job); v.Decision != Final {
			t.Errorf("%+v", v)
		}
	})
}

// A record would burn the id.
func TestAnInputThatDoesNotOpenMakesNoRecord(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		for name, cancelled := range map[string]bool{"running": false, "cancelled": true} {
			job := w.payload(tasks.Passport, name)
			job.SealedInput, job.Batch, job.Row = w.payload(tasks.Passport, "another").SealedInput, "b-1", 1
			batches := &fakeBatches{}
			if cancelled {
				batches.cancelledAt = time.Now()
			}
			p.Batches = batches
			if v := p.Process(t.Context(), job); v.Decision != Final || v.Reason != "sealed_input_broken" || w.record(tasks.Passport, name) != nil {
				t.Errorf("%s: %+v", name, v)
			}
		}
	})
}

// The task of a further run alone buys nothing: only S3 says that the run is wanted.
func TestARunThatWasNotAskedForIsDropped(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		single := w.payload(tasks.Passport, "single")
		row := w.payload(tasks.Passport, "row")
		row.Batch, row.Row, p.Batches = "b-1", 1, &fakeBatches{}
		for _, job := range []tasks.JobSpec{single, row} {
			p.Process(t.Context(), job)
			job.Run = 2
			if v := p.Process(t.Context(), job); v.Decision != Final || v.Reason != "run_not_asked" {
				t.Errorf("%s: %+v", job.VerificationID, v)
			}
			if rec := wantState(t, w, tasks.Passport, job.VerificationID, storage.StateValid, ""); rec.Run != 1 {
				t.Errorf("run %d", rec.Run)
			}
		}
		if w.vendor.charges != 2 {
			t.Errorf("%d charges for two jobs", w.vendor.charges)
		}
	})
}

func TestALinkThatStaysGoneIsALostAnswer(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{ReissueLostAnswers: true, ReissuesPerDay: 1}, func(t *testing.T, w *world, p *Processor) {
		w.vendor.fetched = linkErrors(goneTries)
		began := time.Now()
		w.processUntilFinal(t, p, w.payload(tasks.Aadhaar, "A"))
		if rec := wantState(t, w, tasks.Aadhaar, "A", storage.StateValid, ""); !rec.Attempts[1].Reissue {
			t.Errorf("%+v", rec.Attempts)
		}
		if took := time.Since(began); took < goneFor || took > 2*goneFor {
			t.Errorf("the link was given up after %s", took)
		}
		w.vendor.fetched = linkErrors(2 * goneTries)
		w.processUntilFinal(t, p, w.payload(tasks.Aadhaar, "B"))
		wantState(t, w, tasks.Aadhaar, "B", storage.StateFailed, "answer_lost") // the day's only reissue is taken
	})
}

// linkErrors are n answers to the fetch of a link that is gone.
func linkErrors(n int) []error {
	return slices.Repeat([]error{&cashfree.LinkError{Gone: true}}, n)
}

// A proxy answers 404 for a while, and deliveries come in any number: neither many tries nor a late first one is enough.
func TestALinkThatIsGoneForAWhileCostsNoImage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		gone  int
		every time.Duration // how often the task is delivered
		first time.Duration // when the second delivery comes
	}{
		"once":                           {1, time.Minute, time.Minute},
		"many times within a minute":     {30, 2 * time.Second, time.Second},
		"after the workers slept a day":  {2, time.Minute, 23 * time.Hour},
		"a few times, and days in total": {goneTries - 1, 6 * time.Hour, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
				w.vendor.fetched = linkErrors(c.gone)
				job := w.payload(tasks.Aadhaar, "A")
				p.Process(t.Context(), job)
				time.Sleep(c.first)
				for range 100 {
					if p.Process(t.Context(), job).Decision == Final {
						break
					}
					time.Sleep(c.every)
				}
				wantState(t, w, tasks.Aadhaar, "A", storage.StateValid, "")
				if len(w.vendor.calls) != 1 {
					t.Errorf("%d calls", len(w.vendor.calls))
				}
			})
		})
	}
}

func TestDrainReturnsJobsWithoutACall(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		p.Drain()
		if v := p.Process(t.Context(), w.payload(tasks.Passport, "A")); v.Decision != Later || len(w.vendor.calls) != 0 || w.record(tasks.Passport, "A") != nil {
			t.Errorf("%+v", v)
		}
	})
}
