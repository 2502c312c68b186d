package submit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Known counts the accepted rows for which this batch makes no call, because their verification_id has a job.
type Known struct {
	// DoneBy counts the jobs that are done by outcome; "erased" is one, too.
	DoneBy map[string]int `json:"done_by_outcome,omitempty"`
	// DifferentInput counts the rows whose job has another input: they fail.
	DifferentInput int `json:"different_input"`
	// OtherBatch counts the jobs that another batch will call, InProgress single ones that are not done.
	OtherBatch int `json:"in_other_batch"`
	InProgress int `json:"in_progress"`

	records int
}

func (k *Known) done() (n int) {
	for _, of := range k.DoneBy {
		n += of
	}
	return n
}

func (k *Known) rows() int { return k.done() + k.DifferentInput + k.OtherBatch + k.InProgress }

// String returns the counts for people.
func (k *Known) String() string {
	var text strings.Builder
	_, _ = fmt.Fprintf(&text, " %d done already", k.done())
	separator := " ("
	for _, outcome := range slices.Sorted(maps.Keys(k.DoneBy)) {
		_, _ = fmt.Fprintf(&text, "%s%d %s", separator, k.DoneBy[outcome], outcome)
		separator = ", "
	}
	if k.done() > 0 {
		text.WriteString(")")
	}
	text.WriteString(",")
	for _, count := range []struct {
		n    int
		what string
	}{{k.DifferentInput, "with a different input"}, {k.OtherBatch, "in another batch"}, {k.InProgress, "in progress"}} {
		if count.n > 0 {
			_, _ = fmt.Fprintf(&text, " %d %s,", count.n, count.what)
		}
	}
	return text.String()
}

// job is the job that a verification_id has already.
type job struct {
	fingerprint string
	outcome     string // if it is done
	batch       string // that will call it, or did
	different   bool   // from the row's input
}

// readParallel is how many records are read at once.
const readParallel = 32

// Known reads the records of the accepted rows and the rows of other open batches, and compares their inputs.
func (s *Source) Known(ctx context.Context, p *Plan, store *storage.Store, batches *batch.Store, client batch.Preparer, progress Progress) (*Known, error) {
	progress.Begin("reading records", int64(p.Rows), "rows")
	jobs := map[idHash]*job{}
	if err := s.readRecords(ctx, p, store, jobs, progress); err != nil {
		return nil, err
	}
	known := &Known{DoneBy: map[string]int{}, records: len(jobs)}
	if err := s.readOtherBatches(ctx, p, store, batches, client, jobs); err != nil {
		return nil, err
	}
	if len(jobs) > 0 {
		if err := s.compare(ctx, p, client, jobs); err != nil {
			return nil, err
		}
	}
	for _, j := range jobs {
		switch {
		case j.different:
			known.DifferentInput++
		case j.outcome != "":
			known.DoneBy[j.outcome]++
		case j.batch != "" && j.batch != s.ID:
			known.OtherBatch++
		default:
			known.InProgress++
		}
	}
	return known, nil
}

func (s *Source) readRecords(ctx context.Context, p *Plan, store *storage.Store, jobs map[idHash]*job, progress Progress) error {
	var mutex sync.Mutex
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(readParallel)
	for id, err := range store.Records(ctx, s.Kind) {
		if err != nil || gctx.Err() != nil {
			return errors.Join(err, group.Wait())
		}
		key := hashID(id)
		if _, accepted := p.lines[key]; !accepted {
			continue
		}
		group.Go(func() error {
			rec, _, err := store.Record(gctx, s.Kind, id)
			if err != nil {
				return err
			}
			j := &job{fingerprint: rec.Fingerprint, batch: rec.Batch}
			if rec.State.Final() {
				j.outcome = string(rec.State)
			}
			if rec.Erased != nil {
				j.outcome, j.fingerprint = "erased", ""
			}
			mutex.Lock()
			jobs[key] = j
			mutex.Unlock()
			progress.Add(1)
			return nil
		})
	}
	return group.Wait()
}

// readOtherBatches adds the rows of open batches that have no record yet.
func (s *Source) readOtherBatches(ctx context.Context, p *Plan, store *storage.Store, batches *batch.Store, client batch.Preparer, jobs map[idHash]*job) error {
	open, err := batches.Open(ctx)
	if err != nil {
		return err
	}
	for _, b := range open {
		if b.Kind != s.Kind || b.ID == s.ID || b.State == batch.Cancelled {
			continue
		}
		parts := batch.PartsOf(store, s.Keyset, b)
		for n := range manifest.Parts(b.Rows) {
			part, err := parts.Part(ctx, n)
			if err != nil {
				return fmt.Errorf("batch %s: %w", b.ID, err)
			}
			for i := range part.Items {
				key := hashID(part.Items[i].ID)
				if _, accepted := p.lines[key]; !accepted || jobs[key] != nil {
					continue
				}
				spec, err := prepareItem(client, b, &part.Items[i])
				if err != nil {
					return err
				}
				jobs[key] = &job{fingerprint: spec.Fingerprint, batch: b.ID}
			}
		}
	}
	return nil
}

// prepareItem returns no fingerprint for an input that an earlier version accepted.
func prepareItem(client batch.Preparer, b *batch.Batch, item *manifest.Item) (tasks.JobSpec, error) {
	j, err := item.Job(b.ID, b.Kind, 1)
	if err != nil {
		return tasks.JobSpec{}, err
	}
	spec, err := client.Prepare(j)
	var invalid *tasks.InvalidError
	if errors.As(err, &invalid) {
		err = nil
	}
	return spec, err
}

// compare marks the jobs with another input than their row. An image whose verification_id is derived from it is the same.
func (s *Source) compare(ctx context.Context, p *Plan, client batch.Preparer, jobs map[idHash]*job) error {
	checker := s.checker(nil)
	_, err := s.readRows(ctx, io.Discard, func(row manifest.Row) error {
		id := row.Get(manifest.ColumnID)
		if p.rejected.has(row.Number) || id == "" && s.Kind == tasks.Aadhaar || id != "" && jobs[hashID(id)] == nil {
			return nil
		}
		a, problem, err := checker.Check(ctx, &row)
		if err != nil || problem != nil { // a problem that was not there before ends the submission later
			return err
		}
		j := jobs[hashID(a.ID)]
		if j == nil || j.fingerprint == "" {
			return nil
		}
		fingerprint, err := checker.Fingerprint(client, a)
		j.different = err == nil && fingerprint != j.fingerprint
		return err
	})
	return err
}
