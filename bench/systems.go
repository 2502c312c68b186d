package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/hibiken/asynq"
)

// system is what is measured.
type system interface {
	name() string
	queue() string
	// prepare enqueues the work and returns the worker, which is not started.
	prepare(ctx context.Context, b *bench, w work) (*exec.Cmd, error)
	// answered is how many calls the vendor has answered when all jobs are done.
	answered(w work) int
}

// kycq is this module's worker, with a keyset and all checks.
type kycq struct {
	endpoint string // of S3; empty: the server
}

func (kycq) name() string        { return "kycq" }
func (kycq) queue() string       { return "-bulk" }
func (kycq) answered(w work) int { return w.jobs }

func (k kycq) prepare(ctx context.Context, b *bench, w work) (*exec.Cmd, error) {
	if err := k.install(ctx, b); err != nil {
		return nil, err
	}
	manifest := filepath.Join(b.dir, "manifest.csv")
	var rows bytes.Buffer
	if w.kind == "aadhaar" {
		if err := os.WriteFile(filepath.Join(b.dir, "card.jpg"), padded(b.card, int(w.megabytes*1e6)), 0o600); err != nil {
			return nil, err
		}
		fmt.Fprintln(&rows, "verification_id,image")
		for i := range w.jobs {
			fmt.Fprintf(&rows, "row-%d,card.jpg\n", i)
		}
	} else {
		fmt.Fprintln(&rows, "verification_id,file_number,dob,name")
		for i := range w.jobs {
			fmt.Fprintf(&rows, "row-%d,SPECIMEN%07d,1990-01-31,Specimen Person\n", i, i)
		}
	}
	if err := os.WriteFile(manifest, rows.Bytes(), 0o600); err != nil {
		return nil, err
	}
	if _, err := b.kycq(ctx, k, w, "batch", "submit", w.kind, manifest, "--allow-duplicate-input"); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(b.dir, "kycq"), "worker")
	cmd.Env = b.env(k, w.concurrency)
	return cmd, nil
}

// install makes new buckets and a keyset.
func (k kycq) install(ctx context.Context, b *bench) error {
	b.installs++
	out, err := b.kycq(ctx, k, work{}, "keys", "generate")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "keyset.json"), out, 0o600); err != nil {
		return err
	}
	_, err = b.kycq(ctx, k, work{}, "storage", "init")
	return err
}

// env is the environment of kycq's processes.
func (b *bench) env(k kycq, concurrency int) []string {
	endpoint := b.s3URL
	if k.endpoint != "" {
		endpoint = k.endpoint
	}
	n, c := strconv.Itoa(b.installs), strconv.Itoa(max(1, concurrency))
	return append(os.Environ(),
		"KYCQ_REDIS_URL="+b.redisURL, "KYCQ_ALLOW_VOLATILE_REDIS=true", "KYCQ_KEYSET_FILE="+filepath.Join(b.dir, "keyset.json"),
		"KYCQ_S3_ENDPOINT="+endpoint, "KYCQ_S3_INBOX_BUCKET=bench-inbox-"+n, "KYCQ_S3_MASKED_BUCKET=bench-masked-"+n,
		"KYCQ_S3_RECORDS_BUCKET=bench-records-"+n,
		"KYCQ_CASHFREE_URL="+b.vendor.url, "KYCQ_IMAGE_HOSTS="+strings.TrimPrefix(b.vendor.url, "http://"),
		"KYCQ_CASHFREE_CLIENT_ID=specimen", "KYCQ_CASHFREE_CLIENT_SECRET=specimen", "KYCQ_LISTEN=127.0.0.1:0",
		"KYCQ_AADHAAR_RATE=1000000/s", "KYCQ_PASSPORT_RATE=1000000/s",
		"KYCQ_AADHAAR_CONCURRENCY="+c, "KYCQ_PASSPORT_CONCURRENCY="+c,
	)
}

// kycq runs a command and returns its standard output.
func (b *bench) kycq(ctx context.Context, k kycq, w work, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(b.dir, "kycq"), args...)
	var stderr bytes.Buffer
	cmd.Env, cmd.Stderr = b.env(k, w.concurrency), &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("kycq %s: %w\n%s%s", strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return out, nil
}

// plain is the worker of bench/plain.
type plain struct {
	nothing bool // its handler does nothing
}

func (p plain) name() string {
	if p.nothing {
		return "no-op"
	}
	return "plain"
}

func (plain) queue() string { return "default" }

func (p plain) answered(w work) int {
	if p.nothing {
		return 0
	}
	return w.jobs
}

func (p plain) prepare(ctx context.Context, b *bench, w work) (*exec.Cmd, error) {
	b.installs++
	bucket := "bench-plain-" + strconv.Itoa(b.installs)
	if _, err := b.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		return nil, err
	}
	image := padded(b.card, int(w.megabytes*1e6))
	for i := range w.jobs {
		id := fmt.Sprintf("row-%d", i)
		fields := map[string]string{"verification_id": id, "file_number": fmt.Sprintf("SPECIMEN%07d", i), "dob": "1990-01-31", "name": "Specimen Person"}
		if w.kind == "aadhaar" {
			key := id + ".jpg"
			if _, err := b.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(image)}); err != nil {
				return nil, err
			}
			fields = map[string]string{"verification_id": id, "image": key}
		}
		payload, err := json.Marshal(fields)
		if err != nil {
			return nil, err
		}
		if _, err := b.queue.EnqueueContext(ctx, asynq.NewTask(w.kind, payload)); err != nil {
			return nil, err
		}
	}
	return exec.CommandContext(ctx, filepath.Join(b.dir, "plain"), "-redis", b.redisURL, "-s3", b.s3URL, "-bucket", bucket,
		"-vendor", b.vendor.url, "-concurrency", strconv.Itoa(w.concurrency), "-nothing="+strconv.FormatBool(p.nothing)), nil
}
