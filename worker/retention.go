package worker

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/retention"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// ReviewNotice is how long before its end by retention an open review is announced.
const ReviewNotice = 7 * 24 * time.Hour

// RetentionStore is what retention reads and erases.
type RetentionStore interface {
	Erasable
	Records(ctx context.Context, kind tasks.Kind) iter.Seq2[string, error]
	LegalHolds(ctx context.Context) iter.Seq2[*storage.LegalHold, error]
	// Now returns the time by the store's clock: a machine whose clock is ahead must not erase early.
	Now(ctx context.Context) (time.Time, error)
}

// Retention erases the data of finished jobs that is no longer to be kept.
type Retention struct {
	Rules  retention.Rules
	Store  RetentionStore
	Keyset *Keyset
	Forget Forget
	// EraseRows removes the rows of jobs from the manifests of batches; its error may be a storage.RemainsError.
	EraseRows func(ctx context.Context, kind tasks.Kind, ids map[string]bool) error
	// Audit enters an erasure before it is done.
	Audit func(ctx context.Context, kind tasks.Kind, id, reason string) error
	Log   zerolog.Logger
}

// Due is a job whose data is to be erased, or whose review ends soon.
type Due struct {
	Kind           tasks.Kind `json:"kind"`
	VerificationID string     `json:"verification_id"`
	Rule           string     `json:"rule"`
	// Ends is when the retention ends, or has ended.
	Ends time.Time `json:"ends_at"`
}

func (d Due) reason() string { return "KYCQ_RETENTION " + d.Rule }

// RetentionPlan is what retention finds.
type RetentionPlan struct {
	Erase   []Due `json:"erase"`
	Reviews []Due `json:"reviews_ending"` // open reviews that end within ReviewNotice
	Held    int   `json:"held"`           // jobs that a legal hold keeps
	// Unreadable counts records that cannot be read; they are kept.
	Unreadable int `json:"unreadable,omitempty"`
}

// RetentionDone counts what Erase did.
type RetentionDone struct {
	Erased  int `json:"erased"`
	Remains int `json:"remains"` // erased, but versions remain
	Skipped int `json:"skipped"` // run again, or held, since the plan
}

// Plan reads all records of the kinds with rules, and finds those whose retention has ended. The ages of objects cannot be used:
// those in a copied bucket are new.
func (r *Retention) Plan(ctx context.Context) (*RetentionPlan, error) {
	plan, held := &RetentionPlan{Erase: []Due{}, Reviews: []Due{}}, map[string]bool{}
	now, err := r.Store.Now(ctx)
	if err != nil {
		return nil, fmt.Errorf("retention: %w", err)
	}
	for h, err := range r.Store.LegalHolds(ctx) {
		if err != nil {
			return nil, fmt.Errorf("retention: %w", err)
		}
		held[string(h.Kind)+"/"+h.VerificationID] = true
	}
	for _, kind := range tasks.Kinds() {
		if !r.Rules.Any(string(kind)) {
			continue
		}
		if err := r.planKind(ctx, kind, now, held, plan); err != nil {
			return nil, fmt.Errorf("retention: %w", err)
		}
	}
	return plan, nil
}

func (r *Retention) planKind(ctx context.Context, kind tasks.Kind, now time.Time, held map[string]bool, plan *RetentionPlan) error {
	var mu sync.Mutex
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(reconcileParallel)
	for id, err := range r.Store.Records(gctx, kind) {
		if err != nil {
			return errors.Join(err, group.Wait())
		}
		group.Go(func() error {
			rec, _, err := r.Store.Record(gctx, kind, id)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, storage.ErrNotFound):
			case storeDown(err):
				return err
			case err != nil:
				plan.Unreadable++
			default:
				plan.add(rec, r.Rules, now, held[string(kind)+"/"+id])
			}
			return nil
		})
	}
	return group.Wait()
}

func (p *RetentionPlan) add(rec *storage.Record, rules retention.Rules, now time.Time, held bool) {
	ended := rec.CompletedAt
	if ended.IsZero() {
		ended = rec.UpdatedAt
	}
	rule, keep, ok := rules.For(string(rec.Kind), string(rec.State))
	if !ok || !rec.State.Final() || rec.Erased != nil {
		return
	}
	due := Due{rec.Kind, rec.VerificationID, rule, ended.Add(keep)}
	switch left := due.Ends.Sub(now); {
	case left > 0 && left <= ReviewNotice && rec.NeedsReview() && !held:
		p.Reviews = append(p.Reviews, due)
	case left > 0:
	case held:
		p.Held++
	default:
		p.Erase = append(p.Erase, due)
	}
}

// due returns a function that reports whether the data of a job is to be erased, if no legal hold keeps it.
func (r *Retention) due(now time.Time) func(*storage.Record) bool {
	return func(rec *storage.Record) bool {
		var p RetentionPlan
		p.add(rec, r.Rules, now, false)
		return len(p.Erase) > 0
	}
}

// stillDue drops jobs that have run again, or are held, since they were planned: reading all records takes long, and a person may
// have been asked.
func (r *Retention) stillDue(ctx context.Context, isDue func(*storage.Record) bool, planned []Due) ([]Due, error) {
	still := make([]Due, len(planned)) // without a kind: dropped
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(reconcileParallel)
	for i, d := range planned {
		group.Go(func() error {
			rec, _, err := r.Store.Record(ctx, d.Kind, d.VerificationID)
			var held *storage.LegalHold
			if err == nil {
				held, err = r.Store.LegalHold(ctx, d.Kind, d.VerificationID)
			}
			if err == nil && held == nil && isDue(rec) {
				still[i] = d
			}
			if storeDown(err) {
				return err
			}
			return nil
		})
	}
	err := group.Wait()
	return slices.DeleteFunc(still, func(d Due) bool { return d.Kind == "" }), err
}

// Erase erases what is planned and still due: first the rows in manifests, so that a crash leaves none of an erased job. It goes
// on after an error of one job, and may be repeated.
func (r *Retention) Erase(ctx context.Context, plan *RetentionPlan) (RetentionDone, error) {
	var done RetentionDone
	var remains storage.RemainsError
	now, err := r.Store.Now(ctx)
	if err != nil {
		return done, fmt.Errorf("retention: %w", err)
	}
	isDue := r.due(now)
	due, err := r.stillDue(ctx, isDue, plan.Erase)
	if err != nil {
		return done, fmt.Errorf("retention: %w", err)
	}
	done.Skipped = len(plan.Erase) - len(due)
	var errs []error
	for i, d := range due {
		if err := r.Audit(ctx, d.Kind, d.VerificationID, d.reason()); err != nil { // without an entry nothing is erased, no row either
			due, errs = due[:i], append(errs, err)
			break
		}
	}
	ids := map[tasks.Kind]map[string]bool{}
	for _, d := range due {
		if ids[d.Kind] == nil {
			ids[d.Kind] = map[string]bool{}
		}
		ids[d.Kind][d.VerificationID] = true
	}
	for kind, of := range ids {
		if err := remains.Take(r.EraseRows(ctx, kind, of)); err != nil {
			return done, errors.Join(append(errs, fmt.Errorf("retention: %w", err))...)
		}
	}
	for _, d := range due {
		_, err := eraseIf(ctx, r.Store, r.Forget, r.Keyset, d.Kind, d.VerificationID, "retention", d.reason(), isDue)
		var left *storage.RemainsError
		switch {
		case err == nil:
			done.Erased++
		case errors.As(err, &left):
			done.Erased, done.Remains = done.Erased+1, done.Remains+1
			_ = remains.Take(err)
		case errors.Is(err, ErrNotFinal), errors.Is(err, errNotDue), errors.Is(err, storage.ErrLegalHold), errors.Is(err, storage.ErrConflict):
			done.Skipped++
		default:
			errs = append(errs, fmt.Errorf("%s %s: %w", d.Kind, d.VerificationID, err))
			if storeDown(err) {
				return done, errors.Join(errs...)
			}
		}
	}
	return done, errors.Join(errors.Join(errs...), remains.Result())
}

// Run plans and erases, and announces the reviews that end soon.
func (r *Retention) Run(ctx context.Context) error {
	if len(r.Rules) == 0 {
		return nil
	}
	plan, err := r.Plan(ctx)
	if err != nil {
		return err
	}
	for _, d := range plan.Reviews {
		r.Log.Warn().Str("job", d.VerificationID).Str("rule", d.Rule).Time("ends_at", d.Ends).
			Msg("an open review ends soon: its image will be erased; decide with kycq review")
	}
	done, err := r.Erase(ctx, plan)
	r.Log.Info().Int("erased", done.Erased).Int("remains", done.Remains).Int("held", plan.Held).Int("unreadable", plan.Unreadable).Msg("retention ended")
	return err
}
