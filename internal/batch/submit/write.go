package submit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

const (
	// writers is how many parts are written at once.
	writers = 4
	// uploadParallel is how many images are uploaded at once. They are streamed from their files.
	uploadParallel = 16
)

// Writer uploads the images and writes the parts of a plan.
type Writer struct {
	Source   *Source
	Plan     *Plan
	Store    *storage.Store
	Progress Progress

	checker *manifest.Checker
	parts   *batch.Parts
	slots   chan struct{} // limits the rows that are checked and uploaded at once
}

// Accept writes the parts, then the batch, and starts the feeding. audit is called before the batch is accepted. created is false if
// the batch was accepted before.
func (w *Writer) Accept(ctx context.Context, control *batch.Control, maxCalls int, audit func(*batch.Batch) error) (b *batch.Batch, created bool, err error) {
	if b, err = w.Write(ctx); err != nil {
		return nil, false, err
	}
	b.MaxCalls = maxCalls
	if err := audit(b); err != nil {
		return nil, false, err
	}
	if created, err = control.Batches.Accept(ctx, b); err != nil {
		return nil, false, err
	}
	if err := control.Start(ctx, b, created); err != nil {
		return b, created, fmt.Errorf("the batch is accepted, and workers start it within minutes: %w", err)
	}
	return b, created, nil
}

// CheckExisting compares the submission with a batch of the same id.
func (s *Source) CheckExisting(b *batch.Batch) error {
	switch {
	case b.Kind != s.Kind, b.Content != s.Content, !maps.Equal(b.Mapping, s.Mapping), b.IDsFor != s.IDsFor, b.DateFormat != string(s.DateFormat):
		return batch.ErrOtherManifest
	case b.State == batch.Cancelled:
		return batch.ErrCancelled
	}
	return nil
}

// Write writes every part and returns the batch that is to be accepted. It may be repeated after any error: stored parts are
// not written again, and their images are not uploaded again.
func (w *Writer) Write(ctx context.Context) (*batch.Batch, error) {
	s := w.Source
	columns, err := batch.SealColumns(s.Keyset, s.Kind, s.ID, w.Plan.Columns)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	b := &batch.Batch{
		ID: s.ID, Name: s.Name, Kind: s.Kind, State: batch.Running, Content: s.Content, Plan: w.Plan.Hash, Mapping: s.Mapping,
		DateFormat: string(s.DateFormat), IDsFor: s.IDsFor,
		Rows: w.Plan.Rows, Rejected: w.Plan.Rejected, SealedColumns: columns, Uploads: w.Plan.Uploads,
		Runs: []batch.Run{{Kind: batch.AllRows, Rows: w.Plan.Rows, Why: "submitted", At: now}},
	}
	w.Plan.lines = nil // no longer needed; a million ids take 40 MB
	w.checker = s.checker(w.Store)
	w.parts = batch.PartsOf(w.Store, s.Keyset, b)
	w.slots = make(chan struct{}, uploadParallel)
	step := "writing"
	if w.Plan.Uploads {
		step = "uploading"
	}
	w.Progress.Begin(step, int64(w.Plan.Rows), "rows")
	return b, w.writeAll(ctx)
}

// writeAll reads the accepted rows and writes them in parts.
func (w *Writer) writeAll(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	number, rows := 0, []manifest.Row(nil)
	write := func() {
		n, part := number, rows
		group.Go(func() error { return w.write(ctx, n, part) })
		number, rows = number+1, nil
	}
	_, readErr := w.Source.readRows(ctx, io.Discard, func(row manifest.Row) error {
		if w.Plan.rejected.has(row.Number) {
			return nil
		}
		if rows = append(rows, row); len(rows) == manifest.PartRows {
			write()
		}
		return nil
	})
	if readErr == nil && len(rows) > 0 {
		write()
	}
	if err := group.Wait(); err != nil { // it has canceled the reading
		return err
	}
	return readErr
}

func (w *Writer) write(ctx context.Context, number int, rows []manifest.Row) error {
	sources := w.sourcesOf(rows)
	was, err := w.parts.Sources(ctx, number)
	if err != nil {
		return err
	}
	if was == sources { // an interrupted submission wrote it
		w.Progress.Add(int64(len(rows)))
		return nil
	}
	part := &manifest.Part{Number: number, Sources: sources, Items: make([]manifest.Item, len(rows))}
	group, gctx := errgroup.WithContext(ctx)
	for i := range rows {
		group.Go(func() error {
			w.slots <- struct{}{}
			defer func() { <-w.slots }()
			if err := gctx.Err(); err != nil {
				return err
			}
			part.Items[i].Row = number*manifest.PartRows + i + 1
			return w.item(gctx, &part.Items[i], &rows[i])
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return w.parts.Write(ctx, part)
}

// item sets the item of a row, and uploads its image if it has one.
func (w *Writer) item(ctx context.Context, it *manifest.Item, row *manifest.Row) error {
	a, problem, err := w.checker.Check(ctx, row)
	if err != nil {
		return err
	}
	if problem != nil {
		return fmt.Errorf("line %d has changed since it was checked: %s (%s): run the same command again", row.Line, problem.Message, problem.Code)
	}
	if a.Path != "" {
		if a.Input.Image, err = w.upload(ctx, a); err != nil {
			return fmt.Errorf("line %d: %w", row.Line, err)
		}
	}
	input, err := tasks.EncodeInput(a.Input)
	if err != nil {
		return fmt.Errorf("line %d: %w", row.Line, err)
	}
	it.Line, it.ID, it.Input, it.Fields = row.Line, a.ID, input, row.Fields
	w.Progress.Add(1)
	return nil
}

func (w *Writer) upload(ctx context.Context, a manifest.Accepted) (*tasks.Image, error) {
	file, problem, err := w.Source.folder.Open(a.Path)
	if err != nil {
		return nil, err
	}
	if problem != nil {
		return nil, errors.New(problem.Message)
	}
	defer func() { _ = file.Close() }()
	img, err := w.Store.UploadImage(ctx, w.Source.ID, a.ID, file)
	if err != nil {
		return nil, err
	}
	return &img, nil
}

// sourcesOf hashes the input of a part: the cells, and the sizes and times of the images. An image that was changed between
// two submissions is uploaded again.
func (w *Writer) sourcesOf(rows []manifest.Row) string {
	h := sha256.New()
	for i := range rows {
		row := &rows[i]
		_, _ = fmt.Fprintf(h, "%d %q", row.Line, row.Fields)
		if w.Source.folder != nil {
			size, modified := w.Source.folder.Stat(row.Get(manifest.ColumnImage))
			_, _ = fmt.Fprintf(h, " %d %d", size, modified)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
