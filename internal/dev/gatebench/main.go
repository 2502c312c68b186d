// Command gatebench measures the gate as a fleet uses it: worker processes of their own, a real Redis, and the simulator
// as the vendor, under every shape of window. For each case it prints how much of the limit was used, the 429s, the
// commands that Redis ran for a job, and how long live calls waited while bulk took everything.
//
//	go run ./internal/dev/gatebench                 all of it, about 15 minutes
//	go run ./internal/dev/gatebench -limits 100/6s -procs 4 -windows 5
//
// The measured time begins with the first call that the vendor sees, so the first window counts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kycq/kycq/internal/gate"
)

func main() {
	if job := os.Getenv(workerEnv); job != "" {
		os.Exit(exit(work(job)))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(exit(run(ctx, os.Args[1:])))
}

func exit(err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintln(os.Stderr, "gatebench:", err)
	return 1
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
	latency  time.Duration
}

func parse(args []string) (options, error) {
	var o options
	var limits, procs, shapes string
	flags := flag.NewFlagSet("gatebench", flag.ContinueOnError)
	flags.StringVar(&o.redis, "redis", "", "Redis URL, whose database is flushed; one case at a time. Empty: a server for each case")
	flags.StringVar(&limits, "limits", "600/6s,100/6s,100/m", "the vendor's limits")
	flags.StringVar(&procs, "procs", "4,8", "numbers of worker processes")
	flags.StringVar(&shapes, "shapes", "fixed,sliding,bucket1,bucket2", "shapes of the vendor's window; the digit is the bucket's burst")
	flags.IntVar(&o.windows, "windows", 0, "windows to measure; 0: 5 for windows under 10 s, else 3")
	flags.IntVar(&o.parallel, "parallel", 4, "cases at the same time, where the window is a minute or longer")
	flags.BoolVar(&o.blind, "blind", false, "the vendor sends no rate headers but Retry-After")
	flags.BoolVar(&o.kill, "kill", false, "kill a worker and start another, every window and a half")
	flags.BoolVar(&o.pair, "pair", false, "also load a second kind with a tenth of the limit, in the same processes")
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

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
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
	printHead()
	// Short windows need the machine for themselves; long ones hardly use it.
	if err := runAll(ctx, short, 1); err != nil {
		return err
	}
	return runAll(ctx, long, o.parallel)
}

// cases lists what to measure, apart by the length of the window.
func (o options) cases() (short, long []bench, err error) {
	for _, text := range o.limits {
		limit, err := gate.ParseRate(text)
		if err != nil {
			return nil, nil, err
		}
		for _, procs := range o.procs {
			for _, shape := range o.shapes {
				b := bench{
					redis: o.redis, limit: limit, procs: procs, shape: shape, windows: o.windows,
					blind: o.blind, kill: o.kill, pair: o.pair, latency: o.latency,
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
func runAll(ctx context.Context, cases []bench, parallel int) error {
	places := make(chan struct{}, max(parallel, 1))
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	for _, b := range cases {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			r, err := b.run(ctx)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("%s %s: %w", b.limit, b.shape, err))
				return
			}
			r.print(b)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
