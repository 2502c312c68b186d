package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/tasks"
)

func newEnqueuePassport(a *app) *cobra.Command {
	var f jobFlags
	var fields passportFields
	cmd := cli.Uses(&cobra.Command{
		Use:   "passport [-]",
		Short: "verify a passport",
		Long: `passport enqueues the verification of a passport by its file number and date of birth. With - it reads JSON objects from
stdin (JSONL) with verification_id, file_number, dob and, optionally, name and lane; it enqueues none unless all are valid.

Flags are visible in the process list: use stdin for real data.`,
		Example: `  kycq enqueue passport --id P-0001 --file-number X00001234567 --dob 1990-02-17 --name "Specimen Person"
  echo '{"verification_id":"P-0002","file_number":"X00001234568","dob":"1991-03-18"}' | kycq enqueue passport -`,
		Args: cobra.MaximumNArgs(1),
		RunE: a.Command(func(cmd *cobra.Command, args []string) error {
			jobs, err := passportJobs(a.In, args, f, fields)
			if err != nil {
				return err
			}
			return a.withDeps(cmd, cli.AreasOf(cmd), func(ctx context.Context, d *deps) error { return a.enqueuePassports(ctx, d, jobs) })
		}),
	}, jobAreas...)
	f.register(cmd)
	cmd.Flags().StringVar(&fields.FileNumber, "file-number", "", "the passport's file number: 1 to 20 letters and digits")
	cmd.Flags().StringVar(&fields.DOB, "dob", "", "date of birth, YYYY-MM-DD")
	cmd.Flags().StringVar(&fields.Name, "name", "", "name, optional")
	return cmd
}

// passportFields is a line of stdin.
type passportFields struct{ ID, FileNumber, DOB, Name, Lane string }

var passportFieldNames = []string{"verification_id", "file_number", "dob", "name", "lane"}

func (p passportFields) job(lane string) (tasks.Job, error) {
	if p.Lane != "" {
		lane = p.Lane
	}
	f := jobFlags{id: p.ID, lane: lane}
	job, err := f.job(tasks.Passport)
	if err != nil {
		return tasks.Job{}, err
	}
	job.Input.Passport = &tasks.PassportInput{
		FileNumber: tasks.NewPersonal(p.FileNumber), DOB: tasks.NewPersonal(p.DOB), Name: tasks.NewPersonal(p.Name),
	}
	return job, job.Validate()
}

// passportJobs returns valid jobs from the flags, or from stdin if the argument is "-".
func passportJobs(stdin io.Reader, args []string, f jobFlags, fields passportFields) ([]tasks.Job, error) {
	switch {
	case len(args) == 0:
		fields.ID = f.id
		job, err := fields.job(f.lane)
		return []tasks.Job{job}, err
	case args[0] != "-":
		return nil, cli.Usagef("unknown argument %q: the only one is -, to read JSON from stdin", args[0])
	case fields != passportFields{} || f.id != "":
		return nil, cli.Usagef("- takes the fields from stdin: drop --id, --file-number, --dob and --name")
	}
	return readPassports(stdin, f.lane)
}

// maxStdin limits memory; larger inputs are batches.
const maxStdin = 16 << 20

func readPassports(stdin io.Reader, lane string) ([]tasks.Job, error) {
	text, err := io.ReadAll(io.LimitReader(stdin, maxStdin+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read stdin: %w", err)
	case len(text) > maxStdin:
		return nil, cli.Usagef("stdin holds over %d MB: split it", maxStdin>>20)
	}
	var jobs []tasks.Job
	d := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	for n := 1; ; n++ {
		var object json.RawMessage
		if err := d.Decode(&object); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, cli.Usagef("stdin, object %d: not JSON: write one object a line, like {\"verification_id\":...,\"file_number\":...,\"dob\":...}", n)
		}
		job, err := readPassport(object, lane)
		if err != nil {
			return nil, cli.Usagef("stdin, object %d: %w", n, err)
		}
		jobs = append(jobs, job)
	}
	if len(jobs) == 0 {
		return nil, cli.Usagef("stdin is empty: write one JSON object a line")
	}
	return jobs, nil
}

// readPassport reads one object by the rules for manifests.
func readPassport(object []byte, lane string) (tasks.Job, error) {
	text, problem := manifest.TextFields(object, passportFieldNames)
	if problem != nil {
		return tasks.Job{}, errors.New(problem.Message)
	}
	fields := passportFields{text["verification_id"], text["file_number"], text["dob"], text["name"], text["lane"]}
	return fields.job(lane)
}

// enqueuesAtOnce is how many jobs of stdin are written at the same time: each one waits for S3 three times.
const enqueuesAtOnce = 16

func (a *app) enqueuePassports(ctx context.Context, d *deps, jobs []tasks.Job) error {
	done := 0
	for some := range slices.Chunk(jobs, enqueuesAtOnce) {
		answers, errs := make([]enqueued, len(some)), make([]error, len(some))
		var all sync.WaitGroup
		for i, job := range some {
			all.Go(func() { answers[i], errs[i] = d.enqueue(ctx, job) })
		}
		all.Wait()
		for i, err := range errs {
			if err != nil && len(jobs) > 1 {
				err = fmt.Errorf("stdin, object %d (%s): %w (the %d before it are enqueued; send the same input again: no job is enqueued twice)", done+1, some[i].VerificationID, err, done)
			}
			if err != nil {
				return err
			}
			if err := a.printEnqueued(answers[i]); err != nil {
				return err
			}
			done++
		}
	}
	return nil
}
