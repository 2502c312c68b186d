package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/single"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func newEnqueueAadhaar(a *app) *cobra.Command {
	var f jobFlags
	var image string
	cmd := cli.Uses(&cobra.Command{
		Use:   "aadhaar",
		Short: "mask an Aadhaar card",
		Long: `aadhaar enqueues the masking of one card. The image must be JPEG or PNG, at most 10 MB and 40 megapixels. A local file is
uploaded to the inbox bucket and deleted there when the job is valid or invalid. kycq never deletes an object that is
given as s3://bucket/key; KYCQ_IMAGE_BUCKETS lists where such objects may be.`,
		Example: `  kycq enqueue aadhaar --id ABC00123 --image card.jpg
  kycq enqueue aadhaar --id ABC00124 --image s3://my-bucket/cards/124.png --lane bulk --json`,
		Args: cobra.NoArgs,
		RunE: a.Command(func(cmd *cobra.Command, _ []string) error {
			job, err := f.job(tasks.Aadhaar)
			if err != nil {
				return err
			}
			if err := tasks.ValidateID(f.id); err != nil {
				return cli.UsageError(err)
			}
			if image == "" {
				return cli.Usagef("--image is missing: name a JPEG or PNG file, or s3://bucket/key")
			}
			return a.withDeps(cmd, cli.AreasOf(cmd), func(ctx context.Context, d *deps) error { return a.enqueueAadhaar(ctx, d, job, image) })
		}),
	}, jobAreas...)
	f.register(cmd)
	cmd.Flags().StringVar(&image, "image", "", "JPEG or PNG file, or s3://bucket/key")
	return cmd
}

func (a *app) enqueueAadhaar(ctx context.Context, d *deps, job tasks.Job, name string) error {
	var file io.ReadSeeker // nil for an object in S3
	if strings.HasPrefix(name, s3Scheme) {
		ref, err := checkObject(ctx, d.store, name)
		if err != nil {
			return imageError(name, err)
		}
		job.Input.Image = &ref
	} else {
		f, err := openImage(name)
		if err != nil {
			return err
		}
		defer f.Close()
		file = f
	}
	receipt, remains, err := single.Submit(ctx, d.store, d.client, job, file)
	if remains != nil {
		a.Warn(remains.Error())
	}
	answer, err := answerOf(receipt, err)
	if err != nil {
		return imageError(name, err)
	}
	return a.printEnqueued(answer)
}

// imageError gives the error for an unusable image the exit code of usage.
func imageError(name string, err error) error {
	var invalid *tasks.InvalidError
	if errors.As(err, &invalid) {
		return cli.UsageError(fmt.Errorf("%s: %w", name, invalid))
	}
	return err
}

const s3Scheme = "s3://"

func checkObject(ctx context.Context, store *storage.Store, name string) (tasks.Image, error) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(name, s3Scheme), "/")
	if bucket == "" || key == "" {
		return tasks.Image{}, cli.Usagef("--image: %s names no object: write s3://bucket/key", name)
	}
	ref := tasks.Image{Bucket: bucket, Key: key}
	head, size, err := store.ImageHead(ctx, ref, tasks.ImageHeadBytes)
	if err != nil {
		return ref, fmt.Errorf("%s: %w", name, err)
	}
	_, err = tasks.ValidateImage(head, size)
	return ref, err
}

func openImage(name string) (*os.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, cli.Usagef("--image: %w", err)
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, cli.Usagef("--image: %s is not a file", name)
	}
	return f, nil
}
