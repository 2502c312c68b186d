package manifest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/kycq/kycq/internal/forms"
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
	// Keyset and Label decide the verification_ids of rows without one. The label is empty, or names a further check of the same
	// inputs.
	Keyset *tasks.Keyset
	Label  string
	// DateFormat is the form of dates of birth, see ParseDateFormat.
	DateFormat DateFormat
	// Folder holds local images; nil for passports, and to reject local images.
	Folder *Folder
	// Heads checks images in S3; nil skips that.
	Heads Heads
}

// Accepted is a row that passed the check.
type Accepted struct {
	ID string
	// Derived is true if the ID is derived from the input.
	Derived bool
	// Path is the local image that is to be uploaded, if there is one.
	Path string
	// Input is set if Path is empty.
	Input tasks.Input
}

// Check validates a row without calling Cashfree. It returns a Problem if the row is wrong, and an error if this machine or S3
// failed and the row may be correct.
func (c *Checker) Check(ctx context.Context, row *Row) (Accepted, *Problem, error) {
	if row.Problem == nil {
		row.Problem = c.checkInvisible(row)
	}
	if row.Problem != nil {
		return Accepted{}, row.Problem, nil
	}
	if c.Kind == tasks.Passport {
		return c.checkPassport(row)
	}
	place := row.Get(ColumnImage)
	switch {
	case place == "":
		return Accepted{}, &Problem{Code: "image_missing", Message: "the image column is empty"}, nil
	case strings.HasPrefix(strings.ToLower(place), "s3://"):
		return c.checkStored(ctx, row, place)
	case c.Folder == nil:
		return Accepted{}, &Problem{Code: "image_place_invalid", Message: "the image is not of the form s3://bucket/key"}, nil
	case strings.Contains(place, "://"):
		return Accepted{}, &Problem{Code: "image_place_invalid", Message: "the image is neither a path nor of the form s3://bucket/key"}, nil
	}
	return c.checkLocal(row, place)
}

// checkInvisible refuses what people cannot see in a cell: the row would be another job than the one that it looks like.
func (c *Checker) checkInvisible(row *Row) *Problem {
	for at, cell := range row.Fields {
		if isASCII(cell) {
			continue
		}
		name := row.columns.nameOf(at)
		switch {
		case name == "":
		case strings.ContainsFunc(cell, forms.IsInvisible):
			return invalidCell(name, "holds invisible characters (zero-width or direction marks): remove them")
		case strings.ContainsRune(cell, utf8.RuneError):
			return invalidCell(name, "holds U+FFFD in place of characters that a conversion has lost")
		}
	}
	return nil
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func invalidCell(name, message string) *Problem {
	if name == ColumnImage {
		return &Problem{Code: "image_place_invalid", Message: "image " + message}
	}
	return &Problem{Code: name + "_value_invalid", Message: name + " " + message}
}

func (c *Checker) checkPassport(row *Row) (Accepted, *Problem, error) {
	dob, problem := c.DateFormat.iso(row.Get(ColumnDOB))
	if problem != nil {
		return Accepted{}, problem, nil
	}
	number := row.Get(ColumnFileNumber)
	if row.Get(ColumnID) == "" { // the derived id is the same in lower case, so the input must be
		number = strings.ToUpper(number)
	}
	in := &tasks.PassportInput{
		FileNumber: tasks.NewPersonal(number), DOB: tasks.NewPersonal(dob), Name: tasks.NewPersonal(row.Get(ColumnName)),
	}
	return c.accept(row, Accepted{Input: tasks.Input{Passport: in}}, number, dob)
}

// accept validates the job. If the row has no verification_id, it is derived from the identity of the input.
func (c *Checker) accept(row *Row, a Accepted, identity ...string) (Accepted, *Problem, error) {
	if a.ID = row.Get(ColumnID); a.ID == "" {
		a.ID, a.Derived = c.Keyset.DeriveID(string(c.Kind), c.Label, identity...), true
	}
	job := tasks.Job{Kind: c.Kind, VerificationID: a.ID, Lane: tasks.Bulk, Input: a.Input}
	if a.Path != "" {
		job.Input = tasks.Input{Image: &tasks.Image{Bucket: "inbox", Key: "to-be-uploaded"}}
	}
	err := job.Validate()
	var invalid *tasks.InvalidJobError
	switch {
	case err == nil:
		return a, nil, nil
	case errors.As(err, &invalid):
		return Accepted{}, &Problem{invalid.Fields[0].Code, err.Error(), invalid.Fields}, nil
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
		if sum, err = hashRest(file, math.MaxInt64); err != nil {
			return Accepted{}, nil, err
		}
	}
	return c.accept(row, Accepted{Path: place}, "sha256", sum)
}

// hashRest returns the SHA-256 of a file, or of its first most bytes.
func hashRest(file *os.File, most int64) (string, error) {
	h := sha256.New()
	_, err := file.Seek(0, io.SeekStart)
	if err == nil {
		_, err = io.Copy(h, io.LimitReader(file, most))
	}
	if err != nil {
		return "", fmt.Errorf("read an image: %w", errno(err))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Fingerprinter computes the fingerprint of a job.
type Fingerprinter interface {
	Prepare(job tasks.Job) (tasks.JobSpec, error)
}

// Fingerprint returns the fingerprint of an accepted row, also if its image is not uploaded yet.
func (c *Checker) Fingerprint(client Fingerprinter, a Accepted) (string, error) {
	job := tasks.Job{Kind: c.Kind, VerificationID: a.ID, Lane: tasks.Bulk, Input: a.Input}
	if a.Path != "" {
		sum, err := c.hashImage(a.Path, math.MaxInt64)
		if err != nil {
			return "", err
		}
		job.Input = tasks.Input{Image: &tasks.Image{Bucket: "inbox", Key: "to-be-uploaded", SHA256: sum}}
	}
	spec, err := client.Prepare(job)
	return spec.Fingerprint, err
}

func (c *Checker) hashImage(path string, most int64) (string, error) {
	file, problem, err := c.Folder.Open(path)
	switch {
	case err != nil:
		return "", err
	case problem != nil:
		return "", errors.New(problem.Message)
	}
	defer func() { _ = file.Close() }()
	return hashRest(file, most)
}

// imageHead is how much of a local image tells it from others of the same size. A photo or scan does not begin with 64 KiB of
// another one.
const imageHead = 64 << 10

// Identity returns a text that is equal for rows with the same input, whatever their verification_id and name.
func (c *Checker) Identity(a Accepted) (string, error) {
	switch {
	case a.Path != "":
		size, _ := c.Folder.Stat(a.Path)
		sum, err := c.hashImage(a.Path, imageHead)
		return fmt.Sprint(size, sum), err
	case a.Input.Passport != nil:
		return strings.ToUpper(a.Input.Passport.FileNumber.Reveal()) + " " + a.Input.Passport.DOB.Reveal(), nil
	}
	return a.Input.Image.Bucket + "/" + a.Input.Image.Key, nil
}

// storedHead is enough to check the type of an image in S3. The worker checks its dimensions, since it reads more of it.
const storedHead = 512

func (c *Checker) checkStored(ctx context.Context, row *Row, place string) (Accepted, *Problem, error) {
	bucket, key, ok := strings.Cut(place[len("s3://"):], "/")
	if !ok || bucket == "" || key == "" {
		return Accepted{}, &Problem{Code: "image_place_invalid", Message: "the image is not of the form s3://bucket/key"}, nil
	}
	img := tasks.Image{Bucket: bucket, Key: key}
	a, problem, err := c.accept(row, Accepted{Input: tasks.Input{Image: &img}}, "s3", "s3://"+bucket+"/"+key)
	if problem != nil || err != nil {
		return Accepted{}, problem, err
	}
	if c.Heads != nil {
		problem, err = c.checkHead(ctx, img)
	}
	return a, problem, err
}

func (c *Checker) checkHead(ctx context.Context, img tasks.Image) (*Problem, error) {
	var invalid *tasks.InvalidError
	head, size, err := c.Heads.ImageHead(ctx, img, storedHead)
	switch {
	case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrNoBucket):
		return &Problem{Code: "image_not_found", Message: "there is no such object in S3"}, nil
	case errors.Is(err, storage.ErrDenied):
		return &Problem{Code: "image_not_readable", Message: "these credentials may not read the object in S3"}, nil
	case errors.Is(err, storage.ErrUnreachable), ctx.Err() != nil:
		return nil, err
	case errors.As(err, &invalid):
		return problemOf(invalid), nil
	case err != nil:
		return &Problem{Code: "image_place_invalid", Message: "S3 does not accept the image's bucket or key"}, nil
	}
	_, err = tasks.ValidateImage(head, size)
	if errors.As(err, &invalid) && invalid.Code != "image_header_invalid" {
		return problemOf(invalid), nil
	}
	return nil, nil
}
