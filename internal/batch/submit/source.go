// Package submit turns a manifest file into a batch.
//
// It reads the file several times and never holds it in memory: for its hash, which is part of the batch's id (source.go); for
// its columns and to check every row (check.go); to upload the images and write the sealed parts (write.go). The caller then writes
// batch.json, which accepts all rows at once. A submission that is killed before that accepts nothing and causes no call,
// and the same command continues it from what is in S3. The keys of the parts contain a hash of the accepted rows, so that
// submissions with different rejects never mix.
//
// The package must not enqueue anything and must not print: it reports to a Progress.
package submit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/tasks"
)

// Options describe a submission.
type Options struct {
	Kind tasks.Kind
	// Path is the manifest; "-" reads Stdin.
	Path  string
	Stdin io.Reader
	// Name is the batch's name; if empty, it is derived from the file's name.
	Name string
	// Mapping maps columns to other headings, see manifest.ParseMapping.
	Mapping map[string]string
	// Images is the folder of the images; if empty, the manifest's.
	Images string
	// DateFormat, IDsFor and Keyset are what a manifest.Checker takes.
	DateFormat manifest.DateFormat
	IDsFor     string
	Keyset     *tasks.Keyset
	// Rejects is the path of the rejects file, or "-" for Stderr; if empty, it is next to the manifest.
	Rejects string
	Stderr  io.Writer
	// Rejected, if it is set, is called for each rejected row, and no rejects file is written.
	Rejected func(line int, p *manifest.Problem)
	// StoredOnly rejects rows with a local image.
	StoredOnly bool
}

// Progress receives the progress of each step. Its methods may be called concurrently.
type Progress interface {
	// Begin starts a step of total units: bytes or rows.
	Begin(step string, total int64, unit string)
	Add(n int64)
}

// Source is a manifest file and the id of its batch.
type Source struct {
	Options
	// ID is the batch's id, Content the SHA-256 of the file in hex.
	ID, Content string
	Size        int64

	file   io.ReadSeekCloser
	folder *manifest.Folder
}

// Open opens and hashes the manifest. Standard input is first copied to an encrypted temporary file. The caller closes the
// Source.
func Open(ctx context.Context, opt Options, progress Progress) (*Source, error) {
	s := &Source{Options: opt}
	err := s.open()
	if err == nil {
		err = s.prepare(ctx, progress)
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Source) open() error {
	if s.Path == "-" {
		spooled, size, err := newSpool(s.Stdin)
		if err != nil {
			return fmt.Errorf("copy the manifest: %w", err)
		}
		s.file, s.Size = spooled, size
		return nil
	}
	file, err := os.Open(s.Path)
	if err != nil {
		return fmt.Errorf("open the manifest: %w", err)
	}
	s.file = file
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file (- reads from standard input)", s.Path)
	}
	if err != nil {
		return fmt.Errorf("open the manifest: %w", err)
	}
	s.Size = info.Size()
	return nil
}

func (s *Source) prepare(ctx context.Context, progress Progress) error {
	if s.Name == "" {
		s.Name = "stdin"
		if s.Path != "-" {
			s.Name = batch.NameOf(filepath.Base(s.Path))
		}
		if s.IDsFor != "" { // the same file for another label is another batch
			s.Name = batch.NameOf(s.IDsFor + "-" + s.Name + ".")
		}
	}
	progress.Begin("reading", s.Size, "bytes")
	h := sha256.New()
	src, err := s.fromStart(ctx, io.MultiWriter(h, counter{progress}))
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, src); err != nil {
		return fmt.Errorf("read the manifest: %w", err)
	}
	s.Content = hex.EncodeToString(h.Sum(nil))
	s.ID = batch.NewID(s.Name, s.Content)
	if s.Kind == tasks.Aadhaar && !s.StoredOnly {
		s.folder, err = manifest.OpenFolder(s.imagesFolder())
	}
	return err
}

func (s *Source) imagesFolder() string {
	switch {
	case s.Images != "":
		return s.Images
	case s.Path == "-":
		return "."
	}
	return filepath.Dir(s.Path)
}

// fromStart returns a reader of the whole file that also writes to w, and fails when ctx ends.
func (s *Source) fromStart(ctx context.Context, w io.Writer) (io.Reader, error) {
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	return io.TeeReader(&interruptible{ctx, s.file}, w), nil
}

// columns returns the headings, for which it reads all of a JSONL file: the last row may have another.
func (s *Source) columns(ctx context.Context, w io.Writer) ([]string, error) {
	src, err := s.fromStart(ctx, io.Discard)
	if err != nil {
		return nil, err
	}
	reader, err := manifest.NewReader(src, s.Kind, s.Mapping)
	if err == nil && reader.ColumnsMayGrow() {
		reader, err = s.readRows(ctx, w, func(manifest.Row) error { return nil })
	}
	if err != nil {
		return nil, err
	}
	return reader.Columns(), nil
}

var errChanged = errors.New("the manifest was changed while it was read: run the same command again")

// readRows calls visit for each row, and returns the reader at the end of the file. The error is errChanged if the file has changed since it was
// opened. What is read is also written to w.
func (s *Source) readRows(ctx context.Context, w io.Writer, visit func(manifest.Row) error) (*manifest.Reader, error) {
	h := sha256.New()
	src, err := s.fromStart(ctx, io.MultiWriter(h, w))
	if err != nil {
		return nil, err
	}
	reader, err := manifest.NewReader(src, s.Kind, s.Mapping)
	if err != nil {
		return nil, err
	}
	for {
		var row manifest.Row
		err := reader.Next(&row)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = visit(row)
		}
		if err != nil {
			return nil, err
		}
	}
	if hex.EncodeToString(h.Sum(nil)) != s.Content {
		return nil, errChanged
	}
	return reader, nil
}

// checker checks the rows of the source. heads may be nil.
func (s *Source) checker(heads manifest.Heads) *manifest.Checker {
	return &manifest.Checker{
		Kind: s.Kind, Keyset: s.Keyset, Label: s.IDsFor, DateFormat: s.DateFormat, Folder: s.folder, Heads: heads,
	}
}

// RejectsPath is the path of the file with the rejected rows.
func (s *Source) RejectsPath() string {
	switch {
	case s.Rejects != "":
		return s.Rejects
	case s.Path == "-":
		return s.Name + ".rejects.csv"
	}
	return s.Path + ".rejects.csv"
}

// Close closes the file.
func (s *Source) Close() error {
	if s.folder != nil {
		_ = s.folder.Close()
	}
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// interruptible is a reader that fails when its context ends.
type interruptible struct {
	ctx context.Context
	src io.Reader
}

func (r *interruptible) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.src.Read(p)
}

// counter reports written bytes.
type counter struct{ progress Progress }

func (c counter) Write(p []byte) (int, error) {
	c.progress.Add(int64(len(p)))
	return len(p), nil
}
