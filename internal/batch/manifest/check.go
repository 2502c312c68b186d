package manifest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Heads looks at images that lie in S3.
type Heads interface {
	ImageHead(ctx context.Context, img tasks.Image, n int64) (head []byte, size int64, err error)
}

// Checker judges rows. It is safe for concurrent use.
type Checker struct {
	Kind tasks.Kind
	// Name is the batch's name without the hash: it goes into the ids of rows that have none.
	Name string
	// Folder confines the images; nil for passports.
	Folder *Folder
	Heads  Heads
}

// Accepted is a row that may be called: its id, and where its input comes from.
type Accepted struct {
	ID string
	// Path is the image in the folder, still to be uploaded; empty for others.
	Path string
	// Input is set where Path is empty.
	Input tasks.Input
}

// Check judges one row by all that can be known without calling. The Problem rejects the row; err is a fault of the
// machine's or S3's, after which nothing is known.
func (c *Checker) Check(ctx context.Context, row *Row) (Accepted, *Problem, error) {
	if row.Problem != nil {
		return Accepted{}, row.Problem, nil
	}
	if c.Kind == tasks.Passport {
		in := passportInput(row)
		return c.accept(row, Accepted{ID: row.Get(ColumnID), Input: tasks.Input{Passport: &in}}, func() string {
			return passportID(c.Name, row)
		})
	}
	place := row.Get(ColumnImage)
	switch {
	case place == "":
		return Accepted{}, &Problem{"image_missing", "the image column is empty"}, nil
	case strings.HasPrefix(strings.ToLower(place), "s3://"):
		return c.checkStored(ctx, row, place)
	case strings.Contains(place, "://"):
		return Accepted{}, &Problem{"image_place_invalid", "the image is neither a path nor of the form s3://bucket/key"}, nil
	}
	return c.checkLocal(row, place)
}

// accept fills a missing id and validates the whole as the job that it will be.
func (c *Checker) accept(row *Row, a Accepted, derive func() string) (Accepted, *Problem, error) {
	if a.ID == "" {
		a.ID = derive()
	}
	job := tasks.Job{Kind: c.Kind, VerificationID: a.ID, Lane: tasks.Bulk, Input: a.Input}
	if a.Path != "" {
		job.Input = tasks.Input{Image: &tasks.Image{Bucket: "inbox", Key: "to-be-uploaded"}}
	}
	err := job.Validate()
	var invalid *tasks.InvalidError
	switch {
	case err == nil:
		return a, nil, nil
	case errors.As(err, &invalid):
		return Accepted{}, &Problem{Code: invalid.Code, Message: err.Error()}, nil
	}
	return Accepted{}, nil, fmt.Errorf("line %d: %w", row.Line, err)
}

func (c *Checker) checkLocal(row *Row, place string) (Accepted, *Problem, error) {
	file, problem, err := c.Folder.Open(place)
	if problem != nil || err != nil {
		return Accepted{}, problem, err
	}
	defer func() { _ = file.Close() }()
	if problem, err := checkImage(file); problem != nil || err != nil {
		return Accepted{}, problem, err
	}
	a := Accepted{ID: row.Get(ColumnID), Path: place}
	if a.ID == "" {
		if a.ID, err = c.imageID(file); err != nil {
			return Accepted{}, nil, err
		}
	}
	return c.accept(row, a, nil)
}

// imageID reads the whole image: its content is what names it.
func (c *Checker) imageID(file *os.File) (string, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("read an image: %w", errno(err))
	}
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", fmt.Errorf("read an image: %w", errno(err))
	}
	return deriveID(c.Name, c.Kind, "sha256", hexSum(h.Sum(nil))), nil
}

// storedHead tells the type of an image in S3; its dimensions are for the worker, who reads more of it anyway.
const storedHead = 512

func (c *Checker) checkStored(ctx context.Context, row *Row, place string) (Accepted, *Problem, error) {
	bucket, key, ok := strings.Cut(place[len("s3://"):], "/")
	if !ok || bucket == "" || key == "" {
		return Accepted{}, &Problem{"image_place_invalid", "the image is not of the form s3://bucket/key"}, nil
	}
	img := tasks.Image{Bucket: bucket, Key: key}
	a, problem, err := c.accept(row, Accepted{ID: row.Get(ColumnID), Input: tasks.Input{Image: &img}}, func() string {
		return deriveID(c.Name, c.Kind, "s3", "s3://"+bucket+"/"+key)
	})
	if problem != nil || err != nil {
		return Accepted{}, problem, err
	}
	problem, err = c.lookAt(ctx, img)
	return a, problem, err
}

func (c *Checker) lookAt(ctx context.Context, img tasks.Image) (*Problem, error) {
	head, size, err := c.Heads.ImageHead(ctx, img, storedHead)
	switch {
	case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrNoBucket):
		return &Problem{"image_not_found", "there is no such object in S3"}, nil
	case errors.Is(err, storage.ErrDenied):
		return &Problem{"image_not_readable", "the object in S3 may not be read with these credentials"}, nil
	case errors.Is(err, storage.ErrUnreachable), ctx.Err() != nil:
		return nil, err
	case err != nil:
		return &Problem{"image_place_invalid", "the image's bucket or key is not one that S3 knows"}, nil
	}
	var invalid *tasks.InvalidError
	_, err = tasks.ValidateImage(head, size)
	if errors.As(err, &invalid) && invalid.Code != "image_header_invalid" {
		return problemOf(invalid), nil
	}
	return nil, nil
}
