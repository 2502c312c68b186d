package storage

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/kycq/kycq/internal/sleep"
	"github.com/kycq/kycq/tasks"
)

// OpenRun names a run of a job that has a marker: an empty object that makes the run found without reading every record, if
// Redis has no task of it. The marker is written before the record of the run, and deleted last, so an unfinished run of a
// single job always has one. Rows of a batch have none: the marker of the batch is enough.
type OpenRun struct {
	Kind           tasks.Kind
	Lane           tasks.Lane
	VerificationID string
	Run            int
	// Age is the marker's age by the store's clock; set by OpenRuns only.
	Age time.Duration
}

// OpenRunOf returns the name of a job's run.
func OpenRunOf(job tasks.JobSpec) OpenRun {
	return OpenRun{Kind: job.Kind, Lane: job.Lane, VerificationID: job.VerificationID, Run: job.Run}
}

// Marked reports whether the run has a marker while it is open: it is a single job, or a further run, which `job retry` may
// have begun.
func Marked(job tasks.JobSpec) bool { return job.Batch == "" || job.Run > 1 }

const (
	openPrefix = "open/"
	// completeKey exists once every unfinished record has its marker. Records of versions without markers have none.
	completeKey = openPrefix + "complete"
	// MarkerLife is how long a marker without a record is kept.
	MarkerLife = 24 * time.Hour
	// remarkAfter is the time between marker and record from which on the marker is written again. It must be shorter than
	// MarkerLife.
	remarkAfter = time.Minute
)

func (r OpenRun) key() (string, error) {
	if _, err := recordKey(r.Kind, r.VerificationID); err != nil {
		return "", err
	}
	if _, err := tasks.ParseLane(string(r.Lane)); err != nil {
		return "", err
	}
	return openPrefix + r.String(), nil
}

// String returns kind/lane/id/run.
func (r OpenRun) String() string {
	return fmt.Sprintf("%s/%s/%s/%d", r.Kind, r.Lane, r.VerificationID, r.Run)
}

// ParseOpenRun is the reverse of OpenRun.String; ok is false for other texts.
func ParseOpenRun(text string) (r OpenRun, ok bool) { return parseOpen(openPrefix + text) }

// parseOpen is the reverse of key.
func parseOpen(key string) (r OpenRun, ok bool) {
	parts := strings.Split(key, "/")
	if len(parts) != 5 {
		return OpenRun{}, false
	}
	run, err := strconv.Atoi(parts[4])
	r = OpenRun{Kind: tasks.Kind(parts[1]), Lane: tasks.Lane(parts[2]), VerificationID: parts[3], Run: run}
	same, keyErr := r.key()
	return r, err == nil && keyErr == nil && same == key && run > 0
}

// MarkOpen writes the marker of a run.
func (s *Store) MarkOpen(ctx context.Context, run OpenRun) error {
	key, err := run.key()
	if err != nil {
		return fmt.Errorf("put marker: %w", err)
	}
	return s.markers.Put(ctx, key, nil, "application/octet-stream")
}

// UnmarkOpen deletes the marker of a run. A missing one is not an error.
func (s *Store) UnmarkOpen(ctx context.Context, run OpenRun) error {
	key, err := run.key()
	if err != nil {
		return fmt.Errorf("delete marker: %w", err)
	}
	return s.markers.Delete(ctx, key)
}

// OpenRuns yields the markers of a kind, in key order. It ends with the first error.
func (s *Store) OpenRuns(ctx context.Context, kind tasks.Kind) iter.Seq2[OpenRun, error] {
	return s.openRuns(ctx, kind, "")
}

// OpenRunsAfter is OpenRuns for the markers after one of the same kind, which need not exist.
func (s *Store) OpenRunsAfter(ctx context.Context, after OpenRun) iter.Seq2[OpenRun, error] {
	key, err := after.key()
	if err != nil {
		return func(yield func(OpenRun, error) bool) { yield(OpenRun{}, err) }
	}
	return s.openRuns(ctx, after.Kind, key)
}

func (s *Store) openRuns(ctx context.Context, kind tasks.Kind, after string) iter.Seq2[OpenRun, error] {
	return func(yield func(OpenRun, error) bool) {
		for info, err := range s.markers.ListAfter(ctx, openPrefix+string(kind)+"/", after) {
			if err != nil {
				yield(OpenRun{}, err)
				return
			}
			run, ok := parseOpen(info.Key)
			if run.Age = info.Age; ok && !yield(run, nil) {
				return
			}
		}
	}
}

// MarkersComplete reports whether SetMarkersComplete was called in this bucket.
func (s *Store) MarkersComplete(ctx context.Context) (bool, error) {
	for _, err := range s.markers.List(ctx, completeKey) {
		return err == nil, err
	}
	return false, nil
}

// SetMarkersComplete notes that every unfinished record has its marker.
func (s *Store) SetMarkersComplete(ctx context.Context) error {
	return s.markers.Put(ctx, completeKey, nil, "application/octet-stream")
}

// WriteMarked puts a marker with mark, and then writes what it marks. If that took long, the marker may have been deleted in
// between and is put again.
func WriteMarked(mark, write func() error) error {
	if err := mark(); err != nil {
		return err
	}
	marked := time.Now()
	if err := write(); err != nil || sleep.Elapsed(marked) < remarkAfter {
		return err
	}
	return mark()
}
