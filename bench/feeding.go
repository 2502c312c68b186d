package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// fed is what the rows of a batch of some size cost.
type fed struct {
	rows   int
	submit float64 // rows/s
	row    float64 // s a row of the worker
}

// feeding measures whether a row costs more in a large batch: the first window rows that a worker feeds and processes, after as
// many to warm up, and the memory that the batch takes.
func (b *bench) feeding(ctx context.Context, out io.Writer, rows, window int) (f fed, err error) {
	if err := b.redis.FlushDB(ctx).Err(); err != nil {
		return f, err
	}
	k := kycq{}
	if err := k.install(ctx, b); err != nil {
		return f, err
	}
	defer b.empty(ctx)
	manifest := filepath.Join(b.dir, "many.csv")
	if err := writeRows(manifest, rows); err != nil {
		return f, err
	}
	before, err := b.redisMemory(ctx)
	if err != nil {
		return f, err
	}
	began := time.Now()
	submit := exec.CommandContext(ctx, filepath.Join(b.dir, "kycq"), "batch", "submit", "passport", manifest)
	submit.Env = b.env(k, 64)
	text, err := submit.CombinedOutput()
	if err != nil {
		return f, fmt.Errorf("batch submit: %w\n%.2000s", err, text)
	}
	f = fed{rows: rows, submit: float64(rows) / time.Since(began).Seconds()}
	worker := exec.CommandContext(ctx, filepath.Join(b.dir, "kycq"), "worker")
	worker.Env = b.env(k, 64)
	if err := worker.Start(); err != nil {
		return f, err
	}
	defer func() {
		_ = worker.Process.Signal(os.Interrupt)
		_ = worker.Wait()
	}()
	var at [2]figures
	var when [2]time.Time
	for i := range at {
		if err := b.processed(ctx, (i+1)*window); err != nil {
			return f, err
		}
		if at[i], when[i], err = b.read(ctx, worker.Process.Pid); err != nil {
			return f, err
		}
	}
	after, err := b.redisMemory(ctx)
	f.row = when[1].Sub(when[0]).Seconds() / float64(window)
	peak := float64(submit.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) / 1024
	fmt.Fprintf(out, "batch of %d rows: submit %.0f rows/s, %.0f MiB; %d rows: %.2f ms and %.2f ms of CPU each, worker %.0f MiB; Redis +%.1f MiB\n",
		rows, f.submit, peak, window, 1000*f.row, 1000*(at[1].cpu-at[0].cpu)/float64(window), at[1].peak, (after-before)/(1<<20))
	if err == nil && rows <= reportRows {
		err = b.report(ctx, out, k, rows, string(regexp.MustCompile(`many-[0-9a-f]{8}`).Find(text)))
	}
	return f, err
}

// reportRows is the largest batch that is processed to its end and reported.
const reportRows = 10_000

// report measures the report of a batch when all its rows have ended. It reads part by part, so time grows with the rows and
// memory does not.
func (b *bench) report(ctx context.Context, out io.Writer, k kycq, rows int, id string) error {
	if err := b.processed(ctx, rows); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(b.dir, "kycq"), "batch", "report", id, "--outcome", "valid", "--out", filepath.Join(b.dir, "report.csv"))
	cmd.Env = b.env(k, 64)
	began := time.Now()
	text, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("batch report: %w\n%.2000s", err, text)
	}
	took, state := time.Since(began).Seconds(), cmd.ProcessState
	fmt.Fprintf(out, "report of %d rows: %.0f rows/s, %.2f ms of CPU each, %.0f MiB; 1,000,000 rows at that pace: %.1f minutes\n",
		rows, float64(rows)/took, 1000*(state.UserTime()+state.SystemTime()).Seconds()/float64(rows),
		float64(state.SysUsage().(*syscall.Rusage).Maxrss)/1024, 1e6*took/float64(rows)/60)
	return nil
}

// processed waits until the worker has processed a number of tasks.
func (b *bench) processed(ctx context.Context, tasks int) error {
	for done := 0; done < tasks; {
		if err := wait(ctx, 5*time.Millisecond); err != nil {
			return err
		}
		done, _ = b.redis.Get(ctx, "asynq:{passport-bulk}:processed").Int() // absent at first
	}
	return nil
}

func writeRows(name string, rows int) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	w := bufio.NewWriter(file)
	_, _ = w.WriteString("verification_id,file_number,dob\n")
	for i := range rows {
		_, _ = fmt.Fprintf(w, "row-%d,SPECIMEN%07d,1990-01-31\n", i, i)
	}
	return w.Flush()
}

func (b *bench) redisMemory(ctx context.Context) (float64, error) {
	info, err := b.redis.Info(ctx, "memory").Result()
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(info, "used_memory:")
	number, _, _ := strings.Cut(rest, "\r\n")
	return strconv.ParseFloat(number, 64)
}
