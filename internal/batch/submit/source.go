package submit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/tasks"
)

// Options say what is submitted.
type Options struct {
	Kind tasks.Kind
	// Path is the manifest; "-" reads Stdin.
	Path  string
	Stdin io.Reader
	// Name is the batch's name; made of the file's where empty.
	Name string
	// Mapping names the headings of other manifests, see manifest.ParseMapping.
	Mapping map[string]string
	// Images is the folder of the images; the manifest's own where empty.
	Images string
}

// Progress hears how far a step is. It may be called by several goroutines.
type Progress interface {
	// Begin starts a step; total is in bytes or rows, by unit.
	Begin(step string, total int64, unit string)
	Add(n int64)
}

// Source is the manifest file, with the hash that names its batch.
type Source struct {
	Options
	// ID is the batch's id, Content the SHA-256 of the file in hex.
	ID, Content string
	Size        int64

	file    *os.File
	folder  *manifest.Folder
	spooled bool
}

// Open opens the manifest and hashes it; standard input is written to a file first, that nobody else can open and that is
// gone when this process is. The caller closes it.
func Open(ctx context.Context, opt Options, progress Progress) (*Source, error) {
	s := &Source{Options: opt}
	if err := s.open(); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx, progress); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Source) open() error {
	if s.Path == "-" {
		return s.spool()
	}
	f, err := os.Open(s.Path)
	if err != nil {
		return fmt.Errorf("open the manifest: %w", err)
	}
	s.file = f
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file (- reads from standard input)", s.Path)
	}
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("open the manifest: %w", err)
	}
	return nil
}

func (s *Source) spool() error {
	f, err := os.CreateTemp("", "kycq-stdin-*") // 0600
	if err != nil {
		return fmt.Errorf("keep standard input: %w", err)
	}
	_ = os.Remove(f.Name()) // on Unix the open file stays; elsewhere Close removes it
	s.file, s.spooled = f, true
	if _, err := io.Copy(f, s.Stdin); err != nil {
		_ = s.Close()
		return fmt.Errorf("keep standard input: %w", err)
	}
	return nil
}

func (s *Source) prepare(ctx context.Context, progress Progress) error {
	info, err := s.file.Stat()
	if err != nil {
		return fmt.Errorf("open the manifest: %w", err)
	}
	s.Size = info.Size()
	if s.Name == "" {
		s.Name = "stdin"
		if s.Path != "-" {
			s.Name = batch.NameOf(filepath.Base(s.Path))
		}
	}
	progress.Begin("reading", s.Size, "bytes")
	h := sha256.New()
	if err := s.pass(ctx, io.MultiWriter(h, counter{progress})); err != nil {
		return err
	}
	s.Content = hex.EncodeToString(h.Sum(nil))
	s.ID = batch.NewID(s.Name, s.Content)
	if s.Kind == tasks.Aadhaar {
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

// pass copies the file from its start.
func (s *Source) pass(ctx context.Context, w io.Writer) error {
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read the manifest: %w", err)
	}
	if _, err := io.Copy(w, &interruptible{ctx, s.file}); err != nil {
		return fmt.Errorf("read the manifest: %w", err)
	}
	return nil
}

// RejectsPath is where the rejected rows are written.
func (s *Source) RejectsPath() string {
	if s.Path == "-" {
		return s.Name + ".rejects.csv"
	}
	return s.Path + ".rejects.csv"
}

// Close closes the file.
func (s *Source) Close() error {
	if s.folder != nil {
		_ = s.folder.Close()
	}
	err := s.file.Close()
	if s.spooled {
		_ = os.Remove(s.file.Name())
	}
	return err
}

// interruptible ends a long copy with its context.
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

type counter struct{ progress Progress }

func (c counter) Write(p []byte) (int, error) {
	c.progress.Add(int64(len(p)))
	return len(p), nil
}
