package worker

import (
	"context"
	"errors"
	"iter"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/retention"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// heldS3 is a store with legal holds, and with a clock of its own.
type heldS3 struct {
	*fakeS3
	held  map[string]bool
	ahead time.Duration // of this machine's clock
	fails error         // of reading records
}

func (s *heldS3) Record(ctx context.Context, kind tasks.Kind, id string) (*storage.Record, storage.Version, error) {
	if s.fails != nil {
		return nil, storage.Version{}, s.fails
	}
	return s.fakeS3.Record(ctx, kind, id)
}

func (s *heldS3) Now(context.Context) (time.Time, error) { return time.Now().Add(-s.ahead), nil }

func (s *heldS3) LegalHold(_ context.Context, kind tasks.Kind, id string) (*storage.LegalHold, error) {
	if s.held[id] {
		return &storage.LegalHold{Kind: kind, VerificationID: id}, nil
	}
	return nil, nil
}

func (s *heldS3) LegalHolds(context.Context) iter.Seq2[*storage.LegalHold, error] {
	return func(yield func(*storage.LegalHold, error) bool) {
		for id := range s.held {
			if !yield(&storage.LegalHold{Kind: tasks.Passport, VerificationID: id}, nil) {
				return
			}
		}
	}
}

// Between the plan and the erasure, a job may run again, or be put under a legal hold.
func TestRetentionErasesOnlyWhatIsStillDue(t *testing.T) {
	t.Parallel()
	const kind = tasks.Passport
	for name, late := range map[string]bool{"before the rows are erased": false, "after that": true} {
		withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
			for _, id := range []string{"old", "again", "held"} {
				if v := p.Process(t.Context(), w.payload(kind, id)); v.Decision != Final {
					t.Fatalf("%+v", v)
				}
			}
			s3, rows := &heldS3{fakeS3: w.s3, held: map[string]bool{}}, map[string]bool{}
			change := func() {
				push := func(context.Context, tasks.JobSpec) (tasks.Status, error) { return tasks.Enqueued, nil }
				job, err := Rerun(t.Context(), w.s3, push, kind, "again", 0)
				if err != nil {
					t.Fatal(err)
				}
				p.Process(t.Context(), job)
				s3.held["held"] = true
			}
			r := &Retention{
				Rules: retention.Rules{"passport": 24 * time.Hour}, Store: s3, Keyset: w.keyset, Forget: nothingInRedis, Log: zerolog.Nop(),
				EraseRows: func(_ context.Context, _ tasks.Kind, ids map[string]bool) error {
					rows = ids
					if late {
						change()
					}
					return nil
				},
				Audit: func(context.Context, tasks.Kind, string, string) error { return nil },
			}
			time.Sleep(25 * time.Hour)
			plan, err := r.Plan(t.Context())
			if err != nil || len(plan.Erase) != 3 {
				t.Fatalf("%s: %+v, %v", name, plan, err)
			}
			if !late {
				change()
			}
			if done, err := r.Erase(t.Context(), plan); err != nil || done.Erased != 1 || done.Skipped != 2 {
				t.Errorf("%s: %+v, %v", name, done, err)
			}
			if !late && (len(rows) != 1 || !rows["old"]) {
				t.Errorf("%s: rows erased: %v", name, rows)
			}
			if w.record(kind, "old").Erased == nil || w.record(kind, "held").Erased != nil {
				t.Errorf("%s: the old job is not erased, or the held one is", name)
			}
			if rec := w.record(kind, "again"); rec.Erased != nil || rec.Run != 2 || rec.State != storage.StateValid {
				t.Errorf("%s: run %d, %s, erased %+v", name, rec.Run, rec.State, rec.Erased)
			}
		})
	}
}

func TestRetentionErasesNothingWithoutAnAuditEvent(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		p.Process(t.Context(), w.payload(tasks.Passport, "A"))
		r := &Retention{
			Rules: retention.Rules{"passport": 24 * time.Hour}, Store: &heldS3{fakeS3: w.s3}, Keyset: w.keyset, Forget: nothingInRedis, Log: zerolog.Nop(),
			EraseRows: func(_ context.Context, _ tasks.Kind, ids map[string]bool) error {
				t.Errorf("rows of %v are erased", ids)
				return nil
			},
			Audit: func(context.Context, tasks.Kind, string, string) error { return errInjected },
		}
		time.Sleep(25 * time.Hour)
		if err := r.Run(t.Context()); !errors.Is(err, errInjected) || w.record(tasks.Passport, "A").Erased != nil {
			t.Errorf("error %v, or it is erased", err)
		}
	})
}

func TestRetentionGoesByTheClockOfTheStore(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		p.Process(t.Context(), w.payload(tasks.Passport, "A"))
		s3 := &heldS3{fakeS3: w.s3}
		r := &Retention{
			Rules: retention.Rules{"passport": 24 * time.Hour}, Store: s3, Keyset: w.keyset, Forget: nothingInRedis, Log: zerolog.Nop(),
			EraseRows: func(context.Context, tasks.Kind, map[string]bool) error { return nil },
			Audit:     func(context.Context, tasks.Kind, string, string) error { return nil },
		}
		time.Sleep(25 * time.Hour)
		due, err := r.Plan(t.Context())
		if err != nil || len(due.Erase) != 1 {
			t.Fatalf("%+v, %v", due, err)
		}
		s3.ahead = 2 * time.Hour
		if plan, err := r.Plan(t.Context()); err != nil || len(plan.Erase) != 0 {
			t.Errorf("planned by the clock of the machine: %+v, %v", plan, err)
		}
		if done, err := r.Erase(t.Context(), due); err != nil || done != (RetentionDone{Skipped: 1}) {
			t.Errorf("erased by the clock of the machine: %+v, %v", done, err)
		}
	})
}

func TestRetentionPlansFinishedJobsWhoseTimeHasEnded(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	now, rules := time.Now(), retention.Rules{"aadhaar": 10 * day}
	for name, c := range map[string]struct {
		change                func(*storage.Record)
		ended                 time.Duration // ago
		held                  bool
		erase, reviews, holds int
	}{
		"ended":               {nil, 11 * day, false, 1, 0, 0},
		"held":                {nil, 11 * day, true, 0, 0, 1},
		"not yet":             {nil, 9 * day, false, 0, 0, 0},
		"no time of its end":  {func(r *storage.Record) { r.UpdatedAt, r.CompletedAt = r.CompletedAt, time.Time{} }, 9 * day, false, 0, 0, 0},
		"open":                {func(r *storage.Record) { r.State = storage.StateWaiting }, 11 * day, false, 0, 0, 0},
		"erased":              {func(r *storage.Record) { r.Erased = &storage.Erasure{By: "asha"} }, 11 * day, false, 0, 0, 0},
		"without a rule":      {func(r *storage.Record) { r.Kind = tasks.Passport }, 11 * day, false, 0, 0, 0},
		"review ends":         {func(r *storage.Record) { r.Review = "visible_qr" }, 9 * day, false, 0, 1, 0},
		"review of a hold":    {func(r *storage.Record) { r.Review = "visible_qr" }, 9 * day, true, 0, 0, 0},
		"review ends in 8 d":  {func(r *storage.Record) { r.Review = "visible_qr" }, 2 * day, false, 0, 0, 0},
		"review is past that": {func(r *storage.Record) { r.Review = "visible_qr" }, 11 * day, false, 1, 0, 0},
	} {
		rec := storage.NewRecord(tasks.JobSpec{Kind: tasks.Aadhaar, VerificationID: "A", Run: 1})
		rec.State, rec.CompletedAt = storage.StateFailed, now.Add(-c.ended)
		if c.change != nil {
			c.change(rec)
		}
		var p RetentionPlan
		p.add(rec, rules, now, c.held)
		if len(p.Erase) != c.erase || len(p.Reviews) != c.reviews || p.Held != c.holds {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestRetentionPlansWithLegalHoldsAndStopsWithoutS3(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		p.Process(t.Context(), w.payload(tasks.Passport, "A"))
		s3 := &heldS3{fakeS3: w.s3, held: map[string]bool{"A": true}}
		r := &Retention{Rules: retention.Rules{"passport": 24 * time.Hour}, Store: s3}
		time.Sleep(25 * time.Hour)
		if plan, err := r.Plan(t.Context()); err != nil || len(plan.Erase) != 0 || plan.Held != 1 {
			t.Errorf("%+v, %v", plan, err)
		}
		s3.fails = storage.ErrUnreachable
		if plan, err := r.Plan(t.Context()); !errors.Is(err, storage.ErrUnreachable) {
			t.Errorf("without S3: %+v, %v", plan, err)
		}
	})
}
