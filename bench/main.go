// Command bench measures kycq beside the plain worker of bench/plain and beside an asynq handler that does nothing, in turn,
// on the same Redis, MinIO and fake vendor. README.md says what it measures.
//
// It needs KYCQ_TEST_REDIS, KYCQ_TEST_S3 and KYCQ_TEST_S3_PID, which scripts/with-servers.sh sets, and Linux' /proc.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// options select the cases.
type options struct {
	rounds      int
	passports   int
	images      int
	megabytes   []float64
	concurrency []int
	rows        int
	feed        []int
	results     string
	chart       string
}

func parse() (options, error) {
	var o options
	var megabytes, concurrency, feed string
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each case; the systems alternate")
	flag.IntVar(&o.passports, "passports", 3000, "passport jobs of a round; 0: none")
	flag.IntVar(&o.images, "images", 128, "Aadhaar jobs of a round; 0: none")
	flag.IntVar(&o.rows, "rows", 5000, "rows to enqueue; 0: neither this nor the idle worker is measured")
	flag.StringVar(&megabytes, "megabytes", "0.5,2,10", "sizes of the images")
	flag.StringVar(&concurrency, "concurrency", "8,64", "jobs that a worker processes at once")
	flag.StringVar(&feed, "feed", "10000,100000,1000000", "rows of the batches that are fed; empty: none")
	flag.StringVar(&o.results, "results", "", "file for the results, beside the standard output")
	flag.StringVar(&o.chart, "chart", "", "file for the chart (SVG)")
	flag.Parse()
	for _, text := range strings.Split(megabytes, ",") {
		size, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return o, fmt.Errorf("megabytes: %w", err)
		}
		o.megabytes = append(o.megabytes, size)
	}
	var errs [2]error
	o.concurrency, errs[0] = numbers("concurrency", concurrency)
	o.feed, errs[1] = numbers("feed", feed)
	return o, errors.Join(errs[:]...)
}

func numbers(name, list string) (all []int, err error) {
	for _, text := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, n)
	}
	return all, nil
}

// work is one case: what every system has to do.
type work struct {
	kind        string
	jobs        int
	megabytes   float64 // of an image; 0 for passports
	concurrency int
}

func (w work) String() string {
	if w.megabytes > 0 {
		return fmt.Sprintf("%s %g MB, concurrency %d", w.kind, w.megabytes, w.concurrency)
	}
	return fmt.Sprintf("%s, concurrency %d", w.kind, w.concurrency)
}

func (o options) cases() []work {
	var all []work
	for _, n := range o.concurrency {
		if o.passports > 0 {
			all = append(all, work{kind: "passport", jobs: o.passports, concurrency: n})
		}
	}
	for _, size := range o.megabytes {
		for _, n := range o.concurrency {
			if o.images > 0 {
				all = append(all, work{kind: "aadhaar", jobs: max(o.images, n), megabytes: size, concurrency: n})
			}
		}
	}
	return all
}

// feedWindow is how many rows of each batch are measured.
const feedWindow = 1500

func run(ctx context.Context) error {
	o, err := parse()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "kycq-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	build := exec.CommandContext(ctx, "go", "build", "-o", dir, "./cmd/kycq", "./bench/plain")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	b, err := newBench(dir)
	if err != nil {
		return err
	}
	defer b.close()
	out := io.Writer(os.Stdout)
	if o.results != "" {
		file, err := os.Create(o.results)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		out = io.MultiWriter(out, file)
	}
	fmt.Fprintf(out, "%s, %d CPUs, %s\n\n", time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), runtime.Version())
	if o.rows > 0 {
		if err := errors.Join(b.producers(ctx, out, o.rows), b.idle(ctx, out)); err != nil {
			return err
		}
	}
	var batches []fed
	for _, rows := range o.feed {
		f, err := b.feeding(ctx, out, rows, feedWindow)
		if err != nil {
			return fmt.Errorf("feed %d rows: %w", rows, err)
		}
		batches = append(batches, f)
	}
	var results []result
	for _, w := range o.cases() {
		systems := []system{kycq{}, plain{}}
		if w.kind == "passport" {
			systems = append(systems, plain{nothing: true})
		}
		r := result{work: w, figures: make([][]figures, len(systems))}
		for round := range o.rounds {
			for i, s := range systems {
				fmt.Fprintf(os.Stderr, "%s: round %d of %d, %s\n", w, round+1, o.rounds, s.name())
				f, err := b.measure(ctx, s, w)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", w, s.name(), err)
				}
				r.names, r.figures[i] = append(r.names[:i], s.name()), append(r.figures[i], f)
			}
		}
		if w.kind == "aadhaar" {
			r.check = b.checkCPU(ctx)
		}
		w.jobs = min(w.jobs, 64)
		r.requests, err = b.requests(ctx, w)
		if err != nil {
			return fmt.Errorf("count requests: %w", err)
		}
		r.print(out)
		results = append(results, r)
	}
	if o.chart == "" {
		return nil
	}
	return errors.Join(os.MkdirAll(filepath.Dir(o.chart), 0o750), os.WriteFile(o.chart, chart(results, batches), 0o644))
}
