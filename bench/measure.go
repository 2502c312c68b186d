package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/maskcheck"
)

// ticks is the unit of CPU times in /proc, which is 1/100 s on all architectures that Go supports.
const ticks = 100

// figures are what one round of one system gave.
type figures struct {
	seconds  float64 // from the first job that is taken to the last that is done
	cpu      float64 // of the worker in that time, s
	minioCPU float64 // s
	peak     float64 // largest resident memory of the worker, MiB
	commands float64 // that Redis ran
}

// bench is the servers, and a folder for files.
type bench struct {
	dir             string
	redisURL, s3URL string
	minio           int // process id
	redis           *redis.Client
	queue           *asynq.Client
	s3              *s3.Client
	vendor          *vendor
	card, masked    []byte
	installs        int
}

func newBench(dir string) (*bench, error) {
	b := &bench{dir: dir, redisURL: os.Getenv("KYCQ_TEST_REDIS")}
	options, err := redis.ParseURL(b.redisURL)
	if err != nil {
		return nil, fmt.Errorf("KYCQ_TEST_REDIS: %w", err)
	}
	connection, err := asynq.ParseRedisURI(b.redisURL)
	if err != nil {
		return nil, fmt.Errorf("KYCQ_TEST_REDIS: %w", err)
	}
	server, err := url.Parse(os.Getenv("KYCQ_TEST_S3"))
	if err != nil || server.User == nil {
		return nil, fmt.Errorf("KYCQ_TEST_S3 must be a URL with user and password: %w", err)
	}
	if b.minio, err = strconv.Atoi(os.Getenv("KYCQ_TEST_S3_PID")); err != nil {
		return nil, fmt.Errorf("KYCQ_TEST_S3_PID: %w", err)
	}
	user, password := server.User.Username(), ""
	password, _ = server.User.Password()
	server.User = nil
	b.s3URL = server.String()
	_ = os.Setenv("AWS_ACCESS_KEY_ID", user)
	_ = os.Setenv("AWS_SECRET_ACCESS_KEY", password)
	b.s3 = s3.New(s3.Options{
		BaseEndpoint: &b.s3URL, Region: "us-east-1", UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(user, password, ""),
	})
	b.redis, b.queue = redis.NewClient(options), asynq.NewClient(connection)
	b.card, b.masked = card()
	b.vendor, err = startVendor(b.masked)
	return b, err
}

func (b *bench) close() {
	_ = b.vendor.server.Close()
	_ = b.queue.Close()
	_ = b.redis.Close()
}

// measure does the work once.
func (b *bench) measure(ctx context.Context, s system, w work) (figures, error) {
	if err := b.redis.FlushDB(ctx).Err(); err != nil {
		return figures{}, err
	}
	b.vendor.calls.Store(0)
	cmd, err := s.prepare(ctx, b, w)
	if err != nil {
		return figures{}, err
	}
	defer b.empty(ctx)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		return figures{}, err
	}
	stop := sync.OnceValue(func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		return cmd.Wait()
	})
	defer func() { _ = stop() }()
	f, err := b.watch(ctx, s, w, cmd.Process.Pid)
	if err != nil {
		return figures{}, fmt.Errorf("%w\n%.2000s", err, output.Bytes())
	}
	if err := stop(); err != nil {
		return figures{}, fmt.Errorf("the worker: %w\n%s", err, output.Bytes())
	}
	return f, nil
}

// watch waits until the first job is taken, and until all are done.
func (b *bench) watch(ctx context.Context, s system, w work, pid int) (figures, error) {
	queue := s.queue()
	if strings.HasPrefix(queue, "-") {
		queue = w.kind + queue
	}
	own := 0.0 // commands of this function
	progress := func() (done, active int64, err error) {
		own += 2
		pipe := b.redis.Pipeline()
		processed, length := pipe.Get(ctx, "asynq:{"+queue+"}:processed"), pipe.LLen(ctx, "asynq:{"+queue+"}:active")
		if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
			return 0, 0, err
		}
		done, _ = processed.Int64()
		return done, length.Val(), nil
	}
	limit := time.After(15 * time.Minute)
	until := func(every time.Duration, is func(done, active int64) bool) error {
		for {
			done, active, err := progress()
			if err != nil || is(done, active) {
				return err
			}
			select {
			case <-time.After(every):
			case <-ctx.Done():
				return ctx.Err()
			case <-limit:
				return fmt.Errorf("not done within 15 minutes: %d of %d jobs", done, w.jobs)
			}
		}
	}
	if err := until(2*time.Millisecond, func(done, active int64) bool { return done+active > 0 }); err != nil {
		return figures{}, err
	}
	own = 0
	before, began, err := b.read(ctx, pid)
	if err != nil {
		return figures{}, err
	}
	if err := until(20*time.Millisecond, func(done, active int64) bool {
		return active == 0 && done >= int64(w.jobs) && b.vendor.calls.Load() >= int64(s.answered(w))
	}); err != nil {
		return figures{}, err
	}
	after, ended, err := b.read(ctx, pid)
	return figures{
		seconds: ended.Sub(began).Seconds(), cpu: after.cpu - before.cpu, minioCPU: after.minioCPU - before.minioCPU,
		peak: after.peak, commands: after.commands - before.commands - own,
	}, err
}

// read reads the counters.
func (b *bench) read(ctx context.Context, pid int) (f figures, now time.Time, err error) {
	now = time.Now()
	if f.cpu, err = cpuTime(pid); err != nil {
		return f, now, err
	}
	if f.minioCPU, err = cpuTime(b.minio); err != nil {
		return f, now, err
	}
	if f.peak, err = peakMemory(pid); err != nil {
		return f, now, err
	}
	f.commands, err = b.redisCommands(ctx, nil)
	return f, now, err
}

func cpuTime(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name of the program may hold spaces
	fields := strings.Fields(rest)
	sum := 0.0
	for _, field := range fields[11:13] { // utime and stime
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return 0, err
		}
		sum += n / ticks
	}
	return sum, nil
}

func peakMemory(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("no VmHWM of process %d", pid)
}

// redisCommands is how many commands Redis has run, those of scripts among them, without some.
func (b *bench) redisCommands(ctx context.Context, without []string) (float64, error) {
	info, err := b.redis.Info(ctx, "commandstats").Result()
	if err != nil {
		return 0, err
	}
	sum := 0.0
	lines := bufio.NewScanner(strings.NewReader(info))
	for lines.Scan() {
		if name, rest, ok := strings.Cut(lines.Text(), ":calls="); ok && !slices.Contains(without, strings.TrimPrefix(name, "cmdstat_")) {
			number, _, _ := strings.Cut(rest, ",")
			n, err := strconv.ParseFloat(number, 64)
			if err != nil {
				return 0, err
			}
			sum += n
		}
	}
	return sum, nil
}

// empty deletes all objects, which would fill the disk.
func (b *bench) empty(ctx context.Context) {
	buckets, err := b.s3.ListBuckets(ctx, &s3.ListBucketsInput{})
	if err != nil {
		return
	}
	for _, bucket := range buckets.Buckets {
		pages := s3.NewListObjectsV2Paginator(b.s3, &s3.ListObjectsV2Input{Bucket: bucket.Name})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil || len(page.Contents) == 0 {
				break
			}
			var ids []types.ObjectIdentifier
			for _, o := range page.Contents {
				ids = append(ids, types.ObjectIdentifier{Key: o.Key})
			}
			_, _ = b.s3.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: bucket.Name, Delete: &types.Delete{Objects: ids}})
		}
	}
}

// requests counts kycq's S3 requests for a job, by method and place, with a proxy in front of the server. It is a round of
// its own: the proxy costs time.
func (b *bench) requests(ctx context.Context, w work) (map[string]float64, error) {
	server, err := url.Parse(b.s3URL)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	counts := map[string]float64{}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(server)
		r.Out.Host = r.In.Host // it is signed
	}}
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		name := r.Method + " " + place(r.URL.Path)
		mu.Lock()
		// Neither the submission nor the start of the worker counts.
		if len(counts) > 0 || name == "PUT records/records" || strings.HasPrefix(name, "GET inbox/") {
			counts[name]++
		}
		mu.Unlock()
		forward.ServeHTTP(rw, r)
	}))
	defer proxy.Close()
	if _, err := b.measure(ctx, kycq{endpoint: proxy.URL}, w); err != nil {
		return nil, err
	}
	for name := range counts {
		counts[name] /= float64(w.jobs)
	}
	return counts, nil
}

// place is the kind of bucket and the first part of the key.
func place(path string) string {
	parts := strings.SplitN(strings.TrimPrefix(path, "/bench-"), "/", 3)
	bucket, _, _ := strings.Cut(parts[0], "-")
	if len(parts) < 3 {
		return bucket
	}
	return bucket + "/" + parts[1]
}

// checkCPU is the CPU time of the check of one masked image in seconds, decoding among it.
func (b *bench) checkCPU(ctx context.Context) float64 {
	const times = 20
	used := func() float64 {
		var usage syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
		return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
	}
	before := used()
	for range times {
		if _, err := maskcheck.Check(ctx, bytes.Clone(b.masked), maskcheck.SourceInfo{Body: b.card}); err != nil {
			panic(err) // the specimen was drawn above
		}
	}
	return (used() - before) / times
}
