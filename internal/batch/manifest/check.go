package manifest

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Heads reads the first bytes of images in S3.
type Heads interface {
	ImageHead(ctx context.Context, img tasks.Image, n int64) (head []byte, size int64, err error)
}

// Checker validates rows. It is safe for concurrent use.
type Checker struct {
	Kind tasks.Kind
	// Name is the batch's name without the hash; derived verification_ids depend on it.
	Name string
	// Folder holds local images; nil for passports.
	Folder *Folder
	Heads  Heads
}

// Accepted is a row that passed the check.
type Accepted struct {
	ID string
	// Path is the local image that is to be uploaded, if there is one.
	Path string
	// Input is set if Path is empty.
	Input tasks.Input
}

// Check validates a row without calling Cashfree. It returns a Problem if the row is wrong, and an error if this machine or S3
// failed and the row may be correct.
func (c *Checker) Check(ctx context.Context, row *Row) (Accepted, *Problem, error) {
	if row.Problem != nil {
		return Accepted{}, row.Problem, nil
	}
	if c.Kind == tasks.Passport {
		number, dob := row.Get(ColumnFileNumber), row.Get(ColumnDOB)
		in := &tasks.PassportInput{
			FileNumber: tasks.NewPersonal(number), DOB: tasks.NewPersonal(dob), Name: tasks.NewPersonal(row.Get(ColumnName)),
		}
		return c.accept(row, Accepted{Input: tasks.Input{Passport: in}}, strings.ToUpper(number), dob)
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

// accept validates the job. If the row has no verification_id, it is derived from the identity of the input.
func (c *Checker) accept(row *Row, a Accepted, identity ...string) (Accepted, *Problem, error) {
	if a.ID = row.Get(ColumnID); a.ID == "" {
		a.ID = deriveID(c.Name, c.Kind, identity...)
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
	sum := ""
	if row.Get(ColumnID) == "" { // hashing reads the whole image
		if sum, err = hashFile(file); err != nil {
			return Accepted{}, nil, err
		}
	}
	return c.accept(row, Accepted{Path: place}, "sha256", sum)
}

func hashFile(file *os.File) (string, error) {
	h := sha256.New()
	_, err := file.Seek(0, io.SeekStart)
	if err == nil {
		_, err = io.Copy(h, file)
	}
	if err != nil {
		return "", fmt.Errorf("read an image: %w", errno(err))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// storedHead is enough to check the type of an image in S3. The worker checks its dimensions, since it reads more of it.
const storedHead = 512

func (c *Checker) checkStored(ctx context.Context, row *Row, place string) (Accepted, *Problem, error) {
	bucket, key, ok := strings.Cut(place[len("s3://"):], "/")
	if !ok || bucket == "" || key == "" {
		return Accepted{}, &Problem{"image_place_invalid", "the image is not of the form s3://bucket/key"}, nil
	}
	img := tasks.Image{Bucket: bucket, Key: key}
	a, problem, err := c.accept(row, Accepted{Input: tasks.Input{Image: &img}}, "s3", "s3://"+bucket+"/"+key)
	if problem != nil || err != nil {
		return Accepted{}, problem, err
	}
	problem, err = c.checkHead(ctx, img)
	return a, problem, err
}

func (c *Checker) checkHead(ctx context.Context, img tasks.Image) (*Problem, error) {
	head, size, err := c.Heads.ImageHead(ctx, img, storedHead)
	switch {
	case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrNoBucket):
		return &Problem{"image_not_found", "there is no such object in S3"}, nil
	case errors.Is(err, storage.ErrDenied):
		return &Problem{"image_not_readable", "these credentials may not read the object in S3"}, nil
	case errors.Is(err, storage.ErrUnreachable), ctx.Err() != nil:
		return nil, err
	case err != nil:
		return &Problem{"image_place_invalid", "S3 does not accept the image's bucket or key"}, nil
	}
	var invalid *tasks.InvalidError
	_, err = tasks.ValidateImage(head, size)
	if errors.As(err, &invalid) && invalid.Code != "image_header_invalid" {
		return problemOf(invalid), nil
	}
	return nil, nil
}

// derivedLength keeps 160 bits of the hash; a verification_id has at most 50 characters.
const derivedLength = 32

// deriveID derives a verification_id from the batch's name, the kind and the input. It does not depend on other columns or
// their order, so the same person in a file that was saved again is the same job.
func deriveID(name string, kind tasks.Kind, parts ...string) string {
	h := sha256.New()
	for _, part := range append([]string{name, string(kind)}, parts...) {
		_, _ = fmt.Fprintf(h, "%d:%s", len(part), part) // lengths keep ("ab","c") and ("a","bc") apart
	}
	return base32.StdEncoding.EncodeToString(h.Sum(nil))[:derivedLength]
}
