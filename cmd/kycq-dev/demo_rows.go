package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/kycq/kycq/examples"
	"github.com/kycq/kycq/internal/dev/simulator"
	"github.com/kycq/kycq/internal/logx"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// demoRow is a row of the examples with its outcome.
type demoRow struct {
	Kind tasks.Kind
	ID   string

	image string // path in the examples
	job   tasks.Job
	// refused is set if the row was not enqueued.
	refused *tasks.InvalidError
	// rec is the final record.
	rec *storage.Record
}

// exampleRows reads the two embedded manifests.
func exampleRows() ([]*demoRow, error) {
	var rows []*demoRow
	for _, manifest := range []struct {
		kind tasks.Kind
		file string
	}{{tasks.Aadhaar, "aadhaar.csv"}, {tasks.Passport, "passports.csv"}} {
		text, err := examples.Files.ReadFile(manifest.file)
		if err != nil {
			return nil, fmt.Errorf("read examples: %w", err)
		}
		lines, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
		if err != nil {
			return nil, fmt.Errorf("read examples: %s: %w", manifest.file, err)
		}
		for _, line := range lines[1:] {
			rows = append(rows, newDemoRow(manifest.kind, line))
		}
	}
	return rows, nil
}

func newDemoRow(kind tasks.Kind, fields []string) *demoRow {
	row := &demoRow{Kind: kind, ID: fields[0]}
	row.job = tasks.Job{Kind: kind, VerificationID: row.ID, Lane: tasks.Bulk}
	if kind == tasks.Aadhaar {
		row.image = fields[1]
		return row
	}
	row.job.Input.Passport = &tasks.PassportInput{
		FileNumber: tasks.NewPersonal(fields[1]), DOB: tasks.NewPersonal(fields[2]), Name: tasks.NewPersonal(fields[3]),
	}
	return row
}

// submit validates the row, uploads its image, and enqueues it. An invalid row is marked as refused; that is not an error.
func (r *demoRow) submit(ctx context.Context, d *demo) error {
	err := r.prepare(ctx, d.store)
	if err == nil {
		_, err = d.worker.Client.Enqueue(ctx, r.job)
	}
	var invalid *tasks.InvalidError
	if errors.As(err, &invalid) {
		r.refused = invalid
		return nil
	}
	return err
}

func (r *demoRow) prepare(ctx context.Context, store *storage.Store) error {
	if r.Kind == tasks.Passport {
		return r.job.Validate()
	}
	body, err := examples.Files.ReadFile(r.image)
	if err != nil {
		return err
	}
	image, err := store.UploadImage(ctx, storage.SingleGroup, r.ID, bytes.NewReader(body))
	r.job.Input.Image = &image
	return err
}

// scriptFaults makes a few calls fail, to show retries.
func (d *demo) scriptFaults() error {
	for _, fault := range []simulator.Fault{
		{Endpoint: simulator.AadhaarMasking, VerificationID: "specimen-03-long-scan", Fault: "502", Count: 1},
		{Endpoint: simulator.AadhaarMasking, VerificationID: "specimen-04-pvc-phone", Fault: "500", Count: 1},
		{Endpoint: simulator.Passport, VerificationID: "passport-02", Fault: "502", Count: 2},
		{Endpoint: simulator.Passport, VerificationID: "passport-03", Fault: "500", Count: 1},
	} {
		if _, err := d.stack.Simulator.AddFault(fault); err != nil {
			return err
		}
	}
	return nil
}

const demoPoll = 200 * time.Millisecond

// watchDemo waits until all accepted rows have final records.
func (a *app) watchDemo(ctx context.Context, d *demo, rows []*demoRow) error {
	bar := a.progress(len(rows))
	defer func() { _ = bar.Finish() }()
	for {
		done := 0
		for _, row := range rows {
			if err := row.poll(ctx, d.store); err != nil {
				return err
			}
			if row.refused != nil || row.rec != nil {
				done++
			}
		}
		_ = bar.Set(done)
		if done == len(rows) {
			return nil
		}
		select {
		case <-time.After(demoPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// progress returns a bar that is shown only at a terminal.
func (a *app) progress(rows int) *progressbar.ProgressBar {
	if !logx.IsTerminal(a.Err) {
		a.Note("%d rows: working", rows)
		return progressbar.DefaultSilent(int64(rows))
	}
	return progressbar.NewOptions(rows, progressbar.OptionSetWriter(a.Err), progressbar.OptionSetDescription("working"),
		progressbar.OptionShowCount(), progressbar.OptionClearOnFinish())
}

func (r *demoRow) poll(ctx context.Context, store *storage.Store) error {
	if r.refused != nil || r.rec != nil {
		return nil
	}
	rec, _, err := store.Record(ctx, r.Kind, r.ID)
	if err == nil && rec.State.Final() {
		r.rec = rec
	}
	return err
}

// outcome is how the row ended, with its code.
func (r *demoRow) outcome() string {
	if r.refused != nil {
		return "refused " + r.refused.Code
	}
	return strings.TrimSpace(string(r.rec.State) + " " + r.rec.Code)
}

// calls is the number of requests that the row took.
func (r *demoRow) calls() int {
	if r.rec == nil {
		return 0
	}
	return len(r.rec.Attempts)
}
