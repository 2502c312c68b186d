package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// producers measures how fast jobs are enqueued: with asynq's Enqueue in a loop, with kycq enqueue, and as a batch.
func (b *bench) producers(ctx context.Context, out io.Writer, rows int) error {
	for _, delay := range []time.Duration{0, 2 * time.Millisecond} {
		far, stop, err := b.behind(delay)
		if err != nil {
			return err
		}
		err = far.produce(ctx, out, rows, delay)
		stop()
		if err != nil {
			return err
		}
	}
	return nil
}

// behind returns the same servers behind proxies that add a round trip's delay.
func (b *bench) behind(roundTrip time.Duration) (*bench, func(), error) {
	far := *b
	var proxies []*toxiproxy.Proxy
	stop := func() {
		for _, p := range proxies {
			p.Stop()
		}
	}
	for _, address := range []*string{&far.redisURL, &far.s3URL} {
		target, err := url.Parse(*address)
		if err != nil {
			return nil, stop, err
		}
		p := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "delay", "127.0.0.1:0", target.Host)
		if err := p.Start(); err != nil {
			return nil, stop, err
		}
		proxies = append(proxies, p)
		for _, stream := range []string{"upstream", "downstream"} {
			toxic := fmt.Sprintf(`{"name":%q,"type":"latency","stream":%q,"attributes":{"latency":%d}}`, stream, stream, roundTrip.Milliseconds()/2)
			if _, err := p.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
				return nil, stop, err
			}
		}
		target.Host = p.Listen
		*address = target.String()
	}
	return &far, stop, nil
}

func (b *bench) produce(ctx context.Context, out io.Writer, rows int, delay time.Duration) error {
	if err := b.redis.FlushDB(ctx).Err(); err != nil {
		return err
	}
	defer b.empty(ctx)
	connection, err := asynq.ParseRedisURI(b.redisURL)
	if err != nil {
		return err
	}
	queue := asynq.NewClient(connection)
	defer func() { _ = queue.Close() }()
	began := time.Now()
	for i := range rows {
		if _, err := queue.EnqueueContext(ctx, asynq.NewTask("passport", []byte(strconv.Itoa(i)))); err != nil {
			return err
		}
	}
	loop := float64(rows) / time.Since(began).Seconds()
	if err := b.redis.FlushDB(ctx).Err(); err != nil {
		return err
	}
	k := kycq{endpoint: b.s3URL}
	if err := k.install(ctx, b); err != nil {
		return err
	}
	var lines, csv bytes.Buffer
	fmt.Fprintln(&csv, "verification_id,file_number,dob")
	for i := range rows {
		fmt.Fprintf(&lines, `{"verification_id":"job-%d","file_number":"SPECIMEN%07d","dob":"1990-01-31","lane":"bulk"}`+"\n", i, i)
		fmt.Fprintf(&csv, "row-%d,SPECIMEN%07d,1990-01-31\n", i, i)
	}
	manifest := filepath.Join(b.dir, "rows.csv")
	if err := os.WriteFile(manifest, csv.Bytes(), 0o600); err != nil {
		return err
	}
	single := exec.CommandContext(ctx, filepath.Join(b.dir, "kycq"), "enqueue", "passport", "-")
	single.Env, single.Stdin = b.env(k, 8), &lines
	began = time.Now()
	if text, err := single.CombinedOutput(); err != nil {
		return fmt.Errorf("enqueue: %w\n%.2000s", err, text)
	}
	enqueue := float64(rows) / time.Since(began).Seconds()
	began = time.Now()
	if _, err := b.kycq(ctx, k, work{}, "batch", "submit", "passport", manifest); err != nil {
		return err
	}
	batch := float64(rows) / time.Since(began).Seconds()
	fmt.Fprintf(out, "%d rows at %s round trip: asynq in a loop %.0f rows/s, kycq enqueue - %.0f (%.2f x), kycq batch submit %.0f (%.2f x)\n",
		rows, delay, loop, enqueue, enqueue/loop, batch, batch/loop)
	return nil
}

// insideScripts are the commands that only asynq's scripts run while the worker is idle.
var insideScripts = []string{"zrangebyscore", "rpoplpush", "exists"}

// idle measures an idle worker: the commands it sends to Redis, and how soon it calls the vendor after a live job was
// accepted.
func (b *bench) idle(ctx context.Context, out io.Writer) error {
	const jobs, quiet = 30, 20 * time.Second
	if err := b.redis.FlushDB(ctx).Err(); err != nil {
		return err
	}
	defer b.empty(ctx)
	k := kycq{}
	if err := k.install(ctx, b); err != nil {
		return err
	}
	client, err := b.client(ctx)
	if err != nil {
		return err
	}
	worker := exec.CommandContext(ctx, filepath.Join(b.dir, "kycq"), "worker")
	worker.Env = b.env(k, 8)
	if err := worker.Start(); err != nil {
		return err
	}
	defer func() {
		_ = worker.Process.Signal(os.Interrupt)
		_ = worker.Wait()
	}()
	b.vendor.called = make(chan time.Time, 1)
	defer func() { b.vendor.called = nil }()
	var waits []time.Duration
	for i := range jobs {
		receipt, err := client.Enqueue(ctx, tasks.Job{
			Kind: tasks.Passport, VerificationID: fmt.Sprintf("live-%d", i), Lane: tasks.Live,
			Input: tasks.Input{Passport: &tasks.PassportInput{FileNumber: tasks.NewPersonal(fmt.Sprintf("SPECIMEN%d", i)), DOB: tasks.NewPersonal("1990-01-31")}},
		})
		if err != nil {
			return err
		}
		accepted := time.Now()
		select {
		case at := <-b.vendor.called:
			waits = append(waits, max(0, at.Sub(accepted)))
		case <-time.After(time.Minute):
			return fmt.Errorf("%s was not called within a minute", receipt.VerificationID)
		}
		if err := wait(ctx, 300*time.Millisecond); err != nil { // the worker is idle again
			return err
		}
	}
	before, err := b.redisCommands(ctx, insideScripts)
	if err != nil {
		return err
	}
	if err := wait(ctx, quiet); err != nil {
		return err
	}
	after, err := b.redisCommands(ctx, insideScripts)
	if err != nil {
		return err
	}
	slices.Sort(waits)
	fmt.Fprintf(out, "idle: pickup of a live job p50 %s, p90 %s; %.1f Redis commands/s\n",
		waits[jobs/2].Round(time.Millisecond), waits[jobs*9/10].Round(time.Millisecond), (after-before)/quiet.Seconds())
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// client is a producer, as an app makes it.
func (b *bench) client(ctx context.Context) (*tasks.Client, error) {
	doc, err := os.ReadFile(filepath.Join(b.dir, "keyset.json"))
	if err != nil {
		return nil, err
	}
	keyset, err := tasks.ParseKeyset(doc)
	if err != nil {
		return nil, err
	}
	n := strconv.Itoa(b.installs)
	store, err := storage.Open(ctx, storage.Config{
		Endpoint: b.s3URL, InboxBucket: "bench-inbox-" + n, MaskedBucket: "bench-masked-" + n, RecordsBucket: "bench-records-" + n,
	})
	if err != nil {
		return nil, err
	}
	options, err := redis.ParseURL(b.redisURL)
	if err != nil {
		return nil, err
	}
	return tasks.NewClient(tasks.ClientConfig{Redis: redis.NewClient(options), Ledger: store, Keyset: keyset})
}
