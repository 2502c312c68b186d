package gatebench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/rate"
	"github.com/kycq/kycq/internal/redact"
)

// The two kinds, and how many calls of a kind and process wait at a time. With pair the second kind has a tenth of the limit.
const (
	mainKind, pairKind = "passport", "second"
	bulkCallers        = 8
)

type workerJob struct {
	Redis     string
	Vendors   map[string]string    // URL by kind
	Rates     map[string]rate.Rate // limit by kind
	Blind     bool
	LiveEvery time.Duration // mean time between two live calls of this process
	Seed      uint64
}

// work reads a workerJob, one line of JSON, and calls as fast as the gate permits until ctx or stdin ends. For each live
// call it prints the milliseconds between its arrival and its departure.
func work(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	input := bufio.NewReader(stdin)
	line, err := input.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	var job workerJob
	if err := json.Unmarshal(line, &job); err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = input.ReadByte() // returns when the bench ends or dies
		cancel()
	}()
	opt, err := redis.ParseURL(job.Redis)
	if err != nil {
		return fmt.Errorf("redis url: %w", err)
	}
	opt.ContextTimeoutEnabled = true
	opt.DisableIdentity = true
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	client := redis.NewClient(opt)
	defer func() { _ = client.Close() }()
	g, err := gate.New(gate.Config{Redis: client, Rates: job.Rates})
	if err != nil {
		return err
	}
	defer g.Close()
	noPauses := func(context.Context) (hold.Pauses, error) { return hold.Pauses{}, nil }
	if err := g.Restore(ctx, noPauses); err != nil && !errors.Is(err, redis.TxFailedErr) { // else another worker's did it
		return err
	}

	var callers sync.WaitGroup
	defer callers.Wait()
	for kind, url := range job.Vendors {
		vendor, err := cashfree.New(cashfree.Config{URL: url, ClientID: "bench", ClientSecret: redact.NewSecret("bench")})
		if err != nil {
			return err
		}
		c := caller{gate: g, vendor: vendor, kind: kind, blind: job.Blind, stdout: stdout, stderr: stderr}
		for range bulkCallers {
			callers.Go(func() { c.bulk(ctx) })
		}
		if kind == mainKind {
			callers.Go(func() { c.live(ctx, job.LiveEvery, rand.New(rand.NewPCG(job.Seed, 1))) })
		}
	}
	<-ctx.Done()
	return nil
}

// caller makes calls of one kind.
type caller struct {
	gate   *gate.Gate
	vendor *cashfree.Client
	kind   string
	blind  bool

	stdout, stderr io.Writer
}

func (c caller) bulk(ctx context.Context) {
	for ctx.Err() == nil {
		c.call(ctx, gate.Bulk, func() {})
	}
}

// live makes calls at random times, independent of each other.
func (c caller) live(ctx context.Context, every time.Duration, dice *rand.Rand) {
	var calls sync.WaitGroup
	defer calls.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(dice.ExpFloat64() * float64(every))):
		}
		calls.Go(func() {
			arrived := time.Now()
			c.call(ctx, gate.Live, func() {
				fmt.Fprintf(c.stdout, "live %.1f\n", float64(time.Since(arrived))/float64(time.Millisecond))
			})
		})
	}
}

// call makes one job's calls: a 429 sends it to the gate again.
func (c caller) call(ctx context.Context, lane string, leaving func()) {
	id := strconv.FormatUint(rand.Uint64(), 36)
	for ctx.Err() == nil {
		permit, err := c.gate.Acquire(ctx, gate.Call{Kind: c.kind, Lane: lane, JobID: id})
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, gate.ErrClosed) {
				fmt.Fprintln(c.stderr, "acquire:", err)
				time.Sleep(100 * time.Millisecond)
			}
			continue
		}
		leaving()
		reply := c.vendor.VerifyPassport(context.WithoutCancel(ctx), cashfree.PassportRequest{
			ProviderID: id, FileNumber: redact.NewPersonal("SPECIMEN1"), DOB: redact.NewPersonal("1990-01-01"),
		})
		o := gate.Outcome{Kind: gate.Answered, RetryAfter: reply.Rate.RetryAfter}
		if !c.blind {
			o.Limit, o.Reset = reply.Rate.Limit, reply.Rate.Reset
		}
		if reply.Class == cashfree.RateLimited {
			o.Kind = gate.Limited
		}
		if err := c.gate.Report(context.WithoutCancel(ctx), permit, o); err != nil {
			fmt.Fprintln(c.stderr, "report:", err)
		}
		if o.Kind != gate.Limited {
			return
		}
	}
}
