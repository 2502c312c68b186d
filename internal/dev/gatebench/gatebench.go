// Package gatebench measures the gate with worker processes, a real Redis, and the simulator as the vendor, under every
// shape of the vendor's window. For each case it prints the share of the limit that was used, the 429s, the commands that
// Redis ran for each job, and how long live calls waited while bulk calls took every slot that they could get.
//
// The measured time begins with the first call that the vendor receives, so the first window counts.
package gatebench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kycq/kycq/internal/rate"
)

// workerCommand is the argument that makes Run a worker process.
const workerCommand = "worker"

// Run measures what args (flags) select and prints a table to stdout. self is the command line that leads back to Run: Run
// starts its worker processes with it. An interrupted run returns ctx's error; -h returns flag.ErrHelp.
func Run(ctx context.Context, self, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == workerCommand {
		return work(ctx, stdin, stdout, stderr)
	}
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.redis != "" {
		o.parallel = 1
	}
	short, long, err := o.cases()
	if err != nil {
		return err
	}
	env := environment{self: self, stdout: stdout, stderr: stderr}
	printHead(stdout)
	// Short windows need the machine for themselves; long ones hardly use it.
	if err := runAll(ctx, env, short, 1); err != nil {
		return err
	}
	return runAll(ctx, env, long, o.parallel)
}

// environment is what every case needs of its process.
type environment struct {
	self           []string
	stdout, stderr io.Writer
}

// options are the command line.
type options struct {
	redis    string
	limits   []string
	procs    []int
	shapes   []string
	windows  int
	parallel int
	blind    bool
	kill     bool
	pair     bool
	margin   float64
	latency  time.Duration
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	var limits, procs, shapes string
	flags := flag.NewFlagSet("gatebench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.redis, "redis", "", "Redis URL, whose database is flushed; one case at a time. Empty: a server for each case")
	flags.StringVar(&limits, "limits", "600/6s,100/6s,100/m", "the vendor's limits")
	flags.StringVar(&procs, "procs", "4,8", "numbers of worker processes")
	flags.StringVar(&shapes, "shapes", "fixed,sliding,bucket1,bucket2", "shapes of the vendor's window; the digit is the bucket's burst")
	flags.IntVar(&o.windows, "windows", 0, "windows to measure; 0: 5 for windows under 10 s, else 3")
	flags.IntVar(&o.parallel, "parallel", 4, "cases at the same time, where the window is a minute or longer")
	flags.BoolVar(&o.blind, "blind", false, "the vendor sends no rate headers but Retry-After")
	flags.BoolVar(&o.kill, "kill", false, "kill a worker and start another, every window and a half")
	flags.BoolVar(&o.pair, "pair", false, "also load a second kind with a tenth of the limit, in the same processes")
	flags.Float64Var(&o.margin, "margin", 0, "start with this margin in percent, as after some minutes of calls; 0: as after a change of the rate")
	flags.DurationVar(&o.latency, "latency", 100*time.Millisecond, "how long the vendor takes for an answer")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	o.limits, o.shapes = strings.Split(limits, ","), strings.Split(shapes, ",")
	for _, p := range strings.Split(procs, ",") {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 {
			return options{}, fmt.Errorf("procs %q: want numbers of 1 or more", procs)
		}
		o.procs = append(o.procs, n)
	}
	return o, nil
}

// cases lists what to measure, apart by the length of the window.
func (o options) cases() (short, long []bench, err error) {
	for _, text := range o.limits {
		limit, err := rate.Parse(text)
		if err != nil {
			return nil, nil, err
		}
		for _, procs := range o.procs {
			for _, shape := range o.shapes {
				b := bench{
					redis: o.redis, limit: limit, procs: procs, shape: shape, windows: o.windows,
					blind: o.blind, kill: o.kill, pair: o.pair, margin: o.margin, latency: o.latency,
				}
				if b.windows == 0 {
					b.windows = 3
					if limit.Per < 10*time.Second {
						b.windows = 5
					}
				}
				if limit.Per < time.Minute {
					short = append(short, b)
				} else {
					long = append(long, b)
				}
			}
		}
	}
	return short, long, nil
}

// runAll runs cases, so many at a time.
func runAll(ctx context.Context, env environment, cases []bench, parallel int) error {
	places := make(chan struct{}, max(parallel, 1))
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	for _, b := range cases {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			r, err := b.run(ctx, env)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("%s %s: %w", b.limit, b.shape, err))
				return
			}
			r.print(env.stdout, b)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
