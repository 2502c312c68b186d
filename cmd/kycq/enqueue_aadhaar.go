package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/cli"
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
given as s3://bucket/key.`,
		Example: `  kycq enqueue aadhaar --id ABC00123 --image card.jpg
  kycq enqueue aadhaar --id ABC00124 --image s3://my-bucket/cards/124.png --lane bulk --json`,
		Args: cobra.NoArgs,
		RunE: a.Command(func(cmd *cobra.Command, _ []string) error {
			job, err := f.job(tasks.Aadhaar)
			if err != nil {
				return err
			}
			if image == "" {
				return cli.Usagef("--image is missing: name a JPEG or PNG file, or s3://bucket/key")
			}
			return a.enqueueAadhaar(cmd, job, image)
		}),
	}, jobAreas...)
	f.register(cmd)
	cmd.Flags().StringVar(&image, "image", "", "JPEG or PNG file, or s3://bucket/key")
	return cmd
}

func (a *app) enqueueAadhaar(cmd *cobra.Command, job tasks.Job, image string) error {
	source, err := findImage(image)
	if err != nil {
		return err
	}
	defer source.Close()
	return a.withDeps(cmd, func(ctx context.Context, d *deps) error {
		ref, err := source.reference(ctx, d.store, job.VerificationID)
		if err != nil {
			return err
		}
		job.Input.Image = &ref
		answer, err := d.enqueue(ctx, job)
		if ref.Uploaded && unwanted(answer, err) {
			err = errors.Join(err, d.store.DeleteUpload(ctx, ref))
		}
		if err != nil {
			return err
		}
		return a.printEnqueued(answer)
	})
}

// unwanted reports whether no job will use, and thus delete, the upload: the id belongs to a job with another image, or the
// job is done. (A failed job keeps its image for a retry.)
func unwanted(answer enqueued, err error) bool {
	return errors.Is(err, tasks.ErrDifferentInput) ||
		answer.Status == tasks.AlreadyDone && (answer.Outcome == string(storage.StateValid) || answer.Outcome == string(storage.StateInvalid))
}

// imageSource is an image on disk (file) or in S3 (ref).
type imageSource struct {
	name string
	file *os.File
	ref  tasks.Image
}

// findImage checks a local image. An object in S3 is checked by reference.
func findImage(name string) (*imageSource, error) {
	if rest, ok := strings.CutPrefix(name, "s3://"); ok {
		bucket, key, _ := strings.Cut(rest, "/")
		if bucket == "" || key == "" {
			return nil, cli.Usagef("--image: %s names no object: write s3://bucket/key", name)
		}
		return &imageSource{name: name, ref: tasks.Image{Bucket: bucket, Key: key}}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, cli.Usagef("--image: %w", err)
	}
	s := &imageSource{name: name, file: f}
	if err := s.checkFile(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *imageSource) Close() {
	if s.file != nil {
		_ = s.file.Close()
	}
}

func (s *imageSource) checkFile() error {
	info, err := s.file.Stat()
	if err != nil {
		return cli.Usagef("--image: %w", err)
	}
	if !info.Mode().IsRegular() {
		return cli.Usagef("--image: %s is not a file", s.name)
	}
	_, _, err = tasks.ValidateImageFile(s.file)
	return s.explain(err)
}

func (s *imageSource) explain(err error) error {
	var invalid *tasks.InvalidError
	if errors.As(err, &invalid) {
		return cli.UsageError(fmt.Errorf("%s: %w", s.name, err))
	}
	return err
}

// reference uploads the file, or checks the object.
func (s *imageSource) reference(ctx context.Context, store *storage.Store, id string) (tasks.Image, error) {
	if s.file != nil {
		return store.UploadImage(ctx, storage.SingleGroup, id, s.file)
	}
	head, size, err := store.ImageHead(ctx, s.ref, tasks.ImageHeadBytes)
	if err != nil {
		return tasks.Image{}, fmt.Errorf("%s: %w", s.name, err)
	}
	_, err = tasks.ValidateImage(head, size)
	return s.ref, s.explain(err)
}
