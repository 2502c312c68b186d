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
}

func (s *heldS3) Now(context.Context) (time.Time, error) { return time.Now().Add(-s.ahead), nil }

func (s *heldS3) LegalHold(_ context.Context, kind tasks.Kind, id string) (*storage.LegalHold, error) {
	if s.held[id] {
		return &storage.LegalHold{Kind: kind, VerificationID: id}, nil
	}
	return nil, nil
}

func (s *heldS3) LegalHolds(context.Context) iter.Seq2[*storage.LegalHold, error] {
	return func(func(*storage.LegalHold, error) bool) {}
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
				job, err := Rerun(t.Context(), w.s3, push, kind, "again")
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
