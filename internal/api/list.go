package api

import (
	"context"
	"encoding/base64"
	"errors"
	"iter"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/blocked"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Page are the parameters of all lists.
type Page struct {
	Limit int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
	After string `query:"after" maxLength:"400" doc:"next of the page before"`
}

// ListJobsParams are the parameters of listJobs.
type ListJobsParams struct {
	Page
	Batch    string `query:"batch" maxLength:"100" doc:"rows of this batch"`
	Review   bool   `query:"review" doc:"jobs whose image in quarantine waits for a decision"`
	Open     bool   `query:"open" doc:"single jobs that are not finished"`
	Kind     string `query:"kind" enum:"aadhaar,passport"`
	State    string `query:"state" enum:"queued,waiting,sent,answered,valid,invalid,failed,cancelled"`
	Code     string `query:"code" maxLength:"64"`
	Mismatch bool   `query:"mismatch" doc:"passports whose name, date of birth or file number differs from the input"`
}

// JobList is a page of jobs.
type JobList struct {
	Items []Job  `json:"items" nullable:"false"`
	Next  string `json:"next,omitempty" doc:"the parameter after for the next page; missing on the last"`
}

// ListJobsAnswer is the answer of listJobs.
type ListJobsAnswer struct{ Body JobList }

const (
	// pageReads is how many records a page reads at most, pageChunk how many at once.
	pageReads, pageChunk = 1000, 50
)

// candidate is a job of a list before the selection.
type candidate struct {
	job    *Job            // nil if there is none any more
	rec    *storage.Record // of the job; nil if it has none
	cursor string          // of the page that begins after it
}

// source returns the next candidates of a list, at most n; none at its end.
type source func(ctx context.Context, n int) ([]candidate, error)

func (a *API) listJobs(ctx context.Context, _ *call, in *ListJobsParams) (*ListJobsAnswer, error) {
	sources := 0
	for _, given := range []bool{in.Batch != "", in.Review, in.Open} {
		if given {
			sources++
		}
	}
	if sources != 1 {
		return nil, invalid(FieldError{Pointer: "?batch", Code: "parameter_missing", Message: "want exactly one of batch, review=true and open=true"})
	}
	after, err := decodeCursor(in.After)
	if err != nil {
		return nil, err
	}
	var next source
	var stop func()
	switch {
	case in.Batch != "":
		next, err = a.rowsOf(ctx, in.Batch, after)
		stop = func() {}
	case in.Review:
		next, stop = a.records(a.inReview(ctx, after))
	default:
		next, stop = a.records(a.open(ctx, in.Kind, after))
	}
	if err != nil {
		return nil, err
	}
	defer stop()
	list, err := page(ctx, in.Limit, next, in.selects, a.causes())
	return &ListJobsAnswer{list}, err
}

func (in *ListJobsParams) selects(j *Job) bool {
	m := j.Matches
	return (in.Kind == "" || j.Kind == in.Kind) && (in.State == "" || j.State == in.State) && (in.Code == "" || j.Code == in.Code) &&
		(!in.Mismatch || m != nil && (m.Name == no || m.DOB == no || m.FileNumber == no)) &&
		(!in.Review || j.State == string(storage.StateFailed))
}

const no = string(storage.MatchNo)

// page collects jobs until it has limit of them, or has read pageReads records.
func page(ctx context.Context, limit int, next source, selects func(*Job) bool, causes *blocked.Jobs) (JobList, error) {
	list := JobList{Items: []Job{}}
	for read := 0; read < pageReads; {
		chunk, err := next(ctx, pageChunk)
		if err != nil {
			return JobList{}, err
		}
		if len(chunk) == 0 {
			list.Next = ""
			return list, nil
		}
		for _, c := range chunk {
			if c.job != nil && selects(c.job) {
				if c.rec != nil {
					c.job.Blocked = blockedBy(causes.Of(ctx, c.rec))
				}
				list.Items = append(list.Items, *c.job)
			}
			if list.Next = encodeCursor(c.cursor); len(list.Items) == limit {
				return list, nil
			}
		}
		read += len(chunk)
	}
	return list, nil
}

func encodeCursor(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func decodeCursor(text string) (string, error) {
	plain, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return "", badCursor()
	}
	return string(plain), nil
}

func badCursor() error {
	return invalid(FieldError{Pointer: "?after", Code: "parameter_invalid", Message: "after: want next of the page before, unchanged"})
}

// name is a job of a listing of S3.
type name struct {
	jobID
	cursor string
	err    error
}

// records returns a source that reads the records of names.
func (a *API) records(names iter.Seq[name]) (source, func()) {
	pull, stop := iter.Pull(names)
	return func(ctx context.Context, n int) ([]candidate, error) {
		var chunk []candidate
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(lookUpParallel)
		found := make([]candidate, n)
		for i := range n {
			at, ok := pull()
			if !ok {
				break
			}
			if at.err != nil {
				return nil, errors.Join(at.err, group.Wait())
			}
			found[i].cursor = at.cursor
			chunk = found[:i+1]
			group.Go(func() error {
				rec, _, err := a.cfg.Store.Record(ctx, at.kind, at.id)
				if errors.Is(err, storage.ErrNotFound) {
					return nil
				}
				if err == nil {
					found[i].job, found[i].rec = view(rec), rec
				}
				return err
			})
		}
		return chunk, group.Wait()
	}, stop
}

// inReview lists the jobs with an image in quarantine. Those that wait for a decision are failed.
func (a *API) inReview(ctx context.Context, after string) iter.Seq[name] {
	return func(yield func(name) bool) {
		if after != "" && tasks.ValidateID(after) != nil {
			yield(name{err: badCursor()})
			return
		}
		for id, err := range a.cfg.Store.QuarantinedIDsAfter(ctx, after) {
			if !yield(name{jobID: jobID{tasks.Aadhaar, id}, cursor: id, err: err}) || err != nil {
				return
			}
		}
	}
}

// open lists the unfinished single jobs by their markers.
func (a *API) open(ctx context.Context, only, after string) iter.Seq[name] {
	return func(yield func(name) bool) {
		var begin storage.OpenRun
		if after != "" {
			var ok bool
			if begin, ok = storage.ParseOpenRun(after); !ok {
				yield(name{err: badCursor()})
				return
			}
		}
		for _, kind := range tasks.Kinds() {
			if only != "" && only != string(kind) || kind < begin.Kind {
				continue
			}
			runs := a.cfg.Store.OpenRuns(ctx, kind)
			if kind == begin.Kind {
				runs = a.cfg.Store.OpenRunsAfter(ctx, begin)
			}
			for run, err := range runs {
				if !yield(name{jobID: jobID{run.Kind, run.VerificationID}, cursor: run.String(), err: err}) || err != nil {
					return
				}
			}
		}
	}
}

// rowsOf returns a source of the rows of a batch. A row without a record of its own is shown as far as the batch knows it.
func (a *API) rowsOf(ctx context.Context, id, after string) (source, error) {
	at, err := strconv.Atoi("0" + after)
	if err != nil || strings.HasPrefix(after, "-") {
		return nil, badCursor()
	}
	b, err := a.batch(ctx, id)
	if err != nil {
		return nil, err
	}
	parts := batch.PartsOf(a.cfg.Store, a.cfg.Keyset, b)
	return func(ctx context.Context, n int) ([]candidate, error) {
		rows, err := b.RowsFrom(ctx, parts, a.cfg.Store, a.cfg.Client, at+1, n)
		chunk := make([]candidate, len(rows))
		for i, row := range rows {
			at = row.Item.Row
			chunk[i] = candidate{job: rowView(b, row), cursor: strconv.Itoa(at)}
			switch {
			case row.Own():
				chunk[i].rec = row.Record
			case row.State.Outcome() == "":
				chunk[i].rec = b.Queued(row.Item)
			}
		}
		return chunk, err
	}, nil
}

func rowView(b *batch.Batch, row *batch.Row) *Job {
	if row.Own() {
		return view(row.Record)
	}
	j := view(b.Queued(row.Item))
	j.Code = row.Code()
	if outcome := row.State.Outcome(); outcome != "" {
		j.State = outcome
		text := advice.For(j.Code)
		j.Message, j.NextAction = text.Message, text.NextAction
	}
	return j
}

// batch reads a batch.
func (a *API) batch(ctx context.Context, id string) (*batch.Batch, error) {
	if batch.CheckID(id) != nil {
		return nil, missing("batch", nil)
	}
	b, err := a.control().Batches.Load(ctx, id)
	if errors.Is(err, batch.ErrNotFound) {
		return nil, missing("batch", nil)
	}
	return b, err
}
