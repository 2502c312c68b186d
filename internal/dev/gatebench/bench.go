package gatebench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/rate"
)

// bench is one case.
type bench struct {
	redis   string
	limit   rate.Rate
	procs   int
	shape   string
	windows int
	blind   bool
	kill    bool
	pair    bool
	margin  float64
	latency time.Duration
}

// run measures the case.
func (b bench) run(ctx context.Context, env environment) (result, error) {
	url := b.redis
	if url == "" {
		own, stop, err := startRedis(ctx)
		if err != nil {
			return result{}, err
		}
		defer stop()
		url = own
	}
	opt, err := redis.ParseURL(url)
	if err != nil {
		return result{}, fmt.Errorf("redis url: %w", err)
	}
	client := redis.NewClient(opt)
	defer func() { _ = client.Close() }()
	if err := client.FlushDB(ctx).Err(); err != nil {
		return result{}, fmt.Errorf("flush the database: %w", err)
	}
	if b.margin > 0 { // the fields of the gate's hash that hold the margin
		rate := fmt.Sprintf("%d/%d", b.limit.Calls, b.limit.Per.Microseconds())
		if err := client.HSet(ctx, "kycq:{gate}:"+mainKind, "rate", rate, "margin", int(b.margin*10_000)).Err(); err != nil {
			return result{}, fmt.Errorf("set the margin: %w", err)
		}
	}
	job := workerJob{
		Redis:   url,
		Vendors: map[string]string{},
		Rates:   map[string]rate.Rate{},
		Blind:   b.blind,
		// One call in twenty is live.
		LiveEvery: b.limit.Interval() * 20 * time.Duration(b.procs),
	}
	limits := map[string]rate.Rate{mainKind: b.limit}
	if b.pair {
		limits[pairKind] = rate.Rate{Calls: max(1, b.limit.Calls/10), Per: b.limit.Per}
	}
	vendors := map[string]*vendor{}
	for kind, limit := range limits {
		v, err := startVendor(limit, b.shape, b.latency)
		if err != nil {
			return result{}, err
		}
		defer v.close()
		vendors[kind], job.Vendors[kind], job.Rates[kind] = v, v.url, limit
	}
	f := fleet{job: job, env: env}
	defer f.close()
	before, err := commands(ctx, client)
	if err != nil {
		return result{}, err
	}
	for range b.procs {
		if err := f.add(); err != nil {
			return result{}, err
		}
	}
	if err := b.wait(ctx, &f, vendors[mainKind]); err != nil {
		return result{}, err
	}
	after, err := commands(ctx, client)
	if err != nil {
		return result{}, err
	}
	r := result{live: f.waits(), commands: after.sub(before)}
	r.used, r.least, r.limited, r.calls = vendors[mainKind].measure(b.windows)
	if b.pair {
		r.pair, _, r.pairLimited, _ = vendors[pairKind].measure(b.windows)
		r.calls += vendors[pairKind].count()
	}
	return r, nil
}

// wait lets the windows pass, and with kill replaces a worker now and then.
func (b bench) wait(ctx context.Context, f *fleet, v *vendor) error {
	select {
	case <-v.first:
	case <-time.After(20 * time.Second):
		return fmt.Errorf("no call within 20 s")
	case <-ctx.Done():
		return ctx.Err()
	}
	end := time.After(time.Duration(b.windows)*b.limit.Per + b.latency)
	var kill <-chan time.Time
	if b.kill {
		ticker := time.NewTicker(b.limit.Per * 3 / 2)
		defer ticker.Stop()
		kill = ticker.C
	}
	for {
		select {
		case <-end:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-kill:
			if err := f.replace(); err != nil {
				return err
			}
		}
	}
}

// fleet is the running workers.
type fleet struct {
	job     workerJob
	env     environment
	workers []*worker

	mu   sync.Mutex
	live []float64 // ms
}

type worker struct {
	cmd   *exec.Cmd
	stdin io.Closer
	read  chan struct{} // closed when its output ends
}

func (f *fleet) add() error {
	job := f.job
	job.Seed = rand.Uint64()
	text, err := json.Marshal(job)
	if err != nil {
		return err
	}
	cmd := exec.Command(f.env.self[0], append(slices.Clone(f.env.self[1:]), workerCommand)...)
	cmd.Stderr = f.env.stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start a worker: %w", err)
	}
	if _, err := stdin.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("send a worker its job: %w", err)
	}
	w := &worker{cmd: cmd, stdin: stdin, read: make(chan struct{})}
	f.workers = append(f.workers, w)
	go func() {
		defer close(w.read)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if ms, err := strconv.ParseFloat(strings.TrimPrefix(lines.Text(), "live "), 64); err == nil {
				f.mu.Lock()
				f.live = append(f.live, ms)
				f.mu.Unlock()
			}
		}
	}()
	return nil
}

// replace kills the oldest worker, as kill -9 does, and starts another.
func (f *fleet) replace() error {
	oldest := f.workers[0]
	f.workers = f.workers[1:]
	_ = oldest.cmd.Process.Kill()
	<-oldest.read
	_ = oldest.cmd.Wait()
	return f.add()
}

func (f *fleet) close() {
	for _, w := range f.workers {
		_ = w.stdin.Close()
	}
	for _, w := range f.workers {
		<-w.read
		_ = w.cmd.Wait()
	}
}

func (f *fleet) waits() []float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]float64(nil), f.live...)
}
